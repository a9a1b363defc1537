//! The configuration options: when a change takes effect, how it is stored, who may change it.

use std::collections::BTreeSet;

use super::super::access::Token;
use super::super::answer::Refusal;
use super::super::model::Cluster;
use super::super::net::{NetOption, normalise_tags};
use super::super::validate::{parse_boolean, split_property_string};

/// When a change of an option of a running container takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It only describes the container, or is applied to the running one.
    AtOnce,
    /// It is pending until the next start, without a message.
    NextStart,
    /// It cannot be changed.
    Never,
}

/// When a change of `name` takes effect; `is_set` says that the option has a value already.
pub fn effect(name: &str, is_set: bool) -> Effect {
    let family = name.trim_end_matches(|c: char| c.is_ascii_digit());
    match family {
        "description" | "onboot" | "startup" | "protection" | "hostname" | "hookscript" | "cores" | "tags" => {
            Effect::AtOnce
        }
        "memory" | "swap" | "cpulimit" | "cpuunits" | "net" => Effect::AtOnce,
        // A new mount point is hot-plugged; a change of one is pending.
        "mp" if !is_set => Effect::AtOnce,
        "unprivileged" | "template" | "lock" => Effect::Never,
        _ => Effect::NextStart,
    }
}

/// The value as it is stored.
pub fn stored(name: &str, value: &str) -> String {
    let family = name.trim_end_matches(|c: char| c.is_ascii_digit());
    match family {
        "net" => NetOption::parse(value).completed().to_string(),
        "tags" => normalise_tags(value),
        "onboot" | "protection" | "console" | "debug" | "unprivileged" => {
            parse_boolean(value).map_or_else(|| value.to_owned(), |yes| u8::from(yes).to_string())
        }
        _ => value.to_owned(),
    }
}

/// Requires the privileges to change one option to `value`.
pub fn check_privileges(
    cluster: &Cluster,
    token: &Token,
    vmid: u32,
    name: &str,
    value: Option<&str>,
) -> Result<(), Refusal> {
    let family = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let privilege = match family {
        "memory" | "swap" => "VM.Config.Memory",
        "cores" | "cpulimit" | "cpuunits" => "VM.Config.CPU",
        "net" | "nameserver" | "searchdomain" | "hostname" => "VM.Config.Network",
        "rootfs" | "mp" => "VM.Config.Disk",
        "features" => "VM.Allocate",
        "hookscript" | "dev" => {
            return Err(Refusal::Forbidden(format!("changing {name} is only allowed for root@pam")));
        }
        _ => "VM.Config.Options",
    };
    cluster.demand(token, &format!("/vms/{vmid}"), &[privilege])?;
    if family == "net"
        && let Some(value) = value
    {
        cluster.demand_bridge(token, &NetOption::parse(value))?;
    }
    if name == "tags" {
        check_tags(cluster, token, vmid, value)?;
    }
    let features =
        value.filter(|_| name == "features").map(|value| split_property_string(value, None).unwrap_or_default());
    if features.is_some_and(|features| features.keys().any(|feature| feature != "nesting")) {
        let text = "changing feature flags (except nesting) is only allowed for root@pam";
        return Err(Refusal::Forbidden(text.to_owned()));
    }
    Ok(())
}

/// As PVE::GuestHelpers::assert_tag_permissions: a tag that is added or removed has to be allowed.
fn check_tags(cluster: &Cluster, token: &Token, vmid: u32, value: Option<&str>) -> Result<(), Refusal> {
    let Some(allowed) = cluster.allowed_tags.as_ref().filter(|_| !cluster.may(token, "/", &["Sys.Modify"])) else {
        return Ok(());
    };
    let set = |text: &str| -> BTreeSet<String> {
        normalise_tags(text).split(';').filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
    };
    let before = cluster.containers.get(&vmid).and_then(|container| container.config.get("tags"));
    let before = before.map(|tags| set(tags)).unwrap_or_default();
    let after = value.map(set).unwrap_or_default();
    match before.symmetric_difference(&after).find(|tag| !allowed.contains(*tag)) {
        Some(tag) => Err(Refusal::Forbidden(format!("/, Sys.Modify for modifying tag '{tag}'"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_follow_the_family_of_the_option() {
        assert_eq!(effect("net12", true), Effect::AtOnce);
        assert_eq!(effect("mp0", false), Effect::AtOnce);
        assert_eq!(effect("mp0", true), Effect::NextStart);
        assert_eq!(effect("nameserver", true), Effect::NextStart);
        assert_eq!(effect("unprivileged", true), Effect::Never);
    }
}
