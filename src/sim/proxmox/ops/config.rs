//! `PUT …/config`.

use serde_json::Value;

use super::super::Proxmox;
use super::super::answer::{Answer, Refusal};
use super::super::api::Call;
use super::super::model::{BRIDGES, Cluster, Container};
use super::super::net::NetOption;
use super::super::schema::property;
use super::super::view;
use super::options::{Effect, check_privileges, effect, stored};

/// Parameters of the call that are not options.
const NO_OPTIONS: [&str; 5] = ["node", "vmid", "delete", "revert", "digest"];
/// Options that every container has.
const REQUIRED: [&str; 3] = ["memory", "rootfs", "ostype"];

impl Proxmox {
    /// Changes options: at once where that is possible, at the next start otherwise; the answer does not say which. The
    /// checks are in the order of PVE::API2::LXC::Config, the configuration lock before all others.
    pub(super) async fn update_config(&self, call: &Call) -> Result<Answer, Refusal> {
        let options: Vec<(&str, &str)> = call.params.iter().filter(|(name, _)| !NO_OPTIONS.contains(name)).collect();
        let delete = list(call.params.get("delete"));
        let revert = list(call.params.get("revert"));
        if options.is_empty() && delete.is_empty() && revert.is_empty() {
            return Err(Refusal::died("no options specified"));
        }
        let _flock = self.flocks.take(call.vmid()).await.map_err(|error| Refusal::died(error.to_string()))?;
        let now = self.core.clock.now();
        self.change(|cluster| {
            let container = cluster.on_node(call.node(), call.vmid()).map_err(Refusal::Died)?;
            if let Some(refusal) = container.lock_refusal() {
                return Err(Refusal::Died(refusal));
            }
            if call.params.get("digest").is_some_and(|digest| digest != view::digest(container)) {
                return Err(Refusal::died("detected modified configuration - file changed by other user? Try again."));
            }
            let mut changed = container.clone();
            for name in delete.iter().chain(&revert) {
                check_privileges(cluster, &call.token, call.vmid(), name, None)?;
            }
            for name in &revert {
                self.check_named(call, "revert", name)?;
            }
            for name in &delete {
                self.check_named(call, "delete", name)?;
                if revert.contains(name) {
                    let text = format!("you can't use '-delete {name}' and '-revert {name}' at the same time");
                    return Err(Refusal::parameter("delete", text));
                }
            }
            for (name, value) in &options {
                check_privileges(cluster, &call.token, call.vmid(), name, Some(value))?;
            }
            revert.iter().for_each(|name| {
                changed.pending.remove(*name);
            });
            for name in delete {
                remove(&mut changed, name)?;
            }
            for (name, value) in options {
                set(&mut changed, name, Some(value))?;
            }
            save(cluster, changed);
            cluster.note(now, "config", call.vmid());
            Ok(())
        })?;
        Ok(Value::Null.into())
    }

    /// An option that is named in `delete` or `revert` has to exist, and may not be set by the same call.
    fn check_named(&self, call: &Call, list: &str, name: &str) -> Result<(), Refusal> {
        let path = ["nodes", "node", "lxc", "100", "config"].map(str::to_owned);
        let known = self.schema.find("PUT", &path).is_some_and(|matched| {
            !NO_OPTIONS.contains(&name) && property(&matched.spec.parameters.properties, name).is_some()
        });
        if !known {
            return Err(Refusal::parameter(list, format!("unknown option '{name}'")));
        }
        if call.params.get(name).is_some() {
            // One quote is missing upstream.
            let quote = if list == "delete" { "" } else { "'" };
            let text = format!("you can't use '-{name}' and {quote}-{list} {name}' at the same time");
            return Err(Refusal::parameter(list, text));
        }
        Ok(())
    }
}

/// Deletes one option; one that is not set is left as it is, with a warning in the log of the daemon.
fn remove(container: &mut Container, name: &str) -> Result<(), Refusal> {
    if !container.config.contains_key(name) && !container.pending.contains_key(name) {
        return Ok(());
    }
    if REQUIRED.contains(&name) {
        return Err(Refusal::died(format!("unable to delete required option '{name}'")));
    }
    if name == "unprivileged" {
        return Err(Refusal::died(format!("unable to delete read-only option: '{name}'")));
    }
    set(container, name, None)
}

fn save(cluster: &mut Cluster, container: Container) {
    cluster.containers.insert(container.vmid, container);
}

fn list(text: Option<&str>) -> Vec<&str> {
    text.unwrap_or_default().split([',', ';', ' ']).filter(|name| !name.is_empty()).collect()
}

/// Sets or deletes one option.
fn set(container: &mut Container, name: &str, value: Option<&str>) -> Result<(), Refusal> {
    let running = container.run.is_some();
    let effect = effect(name, container.config.contains_key(name));
    if effect == Effect::Never {
        return Err(Refusal::died(format!("unable to modify read-only option: '{name}'")));
    }
    let stored = value.map(|value| stored(name, value));
    if let Some(net) = stored.as_deref().filter(|_| running && name.starts_with("net")) {
        check_hotplug(name, &NetOption::parse(net))?;
    }
    if running && effect == Effect::NextStart {
        container.pending.insert(name.to_owned(), stored);
        return Ok(());
    }
    container.pending.remove(name);
    match stored {
        Some(value) => container.config.insert(name.to_owned(), value),
        None => container.config.remove(name),
    };
    Ok(())
}

fn check_hotplug(name: &str, net: &NetOption) -> Result<(), Refusal> {
    match net.get("bridge").filter(|bridge| !BRIDGES.contains(bridge)) {
        Some(bridge) => {
            let text = format!("unable to hotplug {name}: bridge '{bridge}' does not exist\n");
            Err(Refusal::parameter(name, text))
        }
        None => Ok(()),
    }
}
