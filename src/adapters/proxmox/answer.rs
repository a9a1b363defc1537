//! Parses answers into types of the port. Pure and total: an answer of any shape gives a value or a reason.

use std::net::IpAddr;

use serde_json::Value;

use super::loose::{field, filled, flag, scalar, small, text, whole};
use super::refusal::Refusal;
use crate::adapters::answer::Answer;
use crate::kernel::VmId;
use crate::ports::{
    ContainerConfig, ContainerSummary, HypervisorVersion, Interface, Node, NodeName, PowerState, Whereabouts,
};

/// Why an answer is unreadable.
pub(super) type Unreadable = String;

/// Why an answer has no data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoData {
    /// Its status is an error.
    Refused(Refusal),
    /// Its status is success, its body is not what the API describes.
    Unreadable(Unreadable),
}

/// The `data` of a successful answer.
pub(super) fn open(answer: &Answer) -> Result<Value, NoData> {
    if !answer.is_success() {
        return Err(NoData::Refused(refusal(answer)));
    }
    let unreadable = |detail: String| NoData::Unreadable(detail);
    match answer.document() {
        Ok(Value::Object(mut envelope)) => {
            envelope.remove("data").ok_or_else(|| unreadable("the answer has no `data`".to_owned()))
        }
        Ok(_) => Err(unreadable("the answer is not a JSON object".to_owned())),
        Err(error) => Err(unreadable(format!("the answer is not JSON: {error}"))),
    }
}

/// The message of a refusal: from the body, or else from the status line. Releases before http-server 5.2.0 send it in
/// the status line only.
fn refusal(answer: &Answer) -> Refusal {
    let body = answer.document().unwrap_or(Value::Null);
    let message = text(&body, "message").map(|message| tidy(&message)).filter(|message| !message.is_empty());
    let errors = field(&body, "errors").and_then(Value::as_object);
    let fields = errors.into_iter().flatten().map(|(name, words)| {
        let words = scalar(words).unwrap_or_else(|| words.to_string());
        (name.clone(), tidy(&words))
    });
    Refusal {
        status: answer.status,
        text: message.or_else(|| answer.reason.clone()).unwrap_or_default(),
        fields: fields.collect(),
    }
}

/// Several problems of one field are separated by a literal `\n`, and most messages end in a line break.
fn tidy(words: &str) -> String {
    words.replace("\\n", "\n").split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

pub(super) fn version(data: &Value) -> Result<HypervisorVersion, Unreadable> {
    let version = filled(data, "version").ok_or("no version")?;
    Ok(HypervisorVersion { version })
}

pub(super) fn nodes(data: &Value) -> Result<Vec<Node>, Unreadable> {
    rows(data)?
        .iter()
        .map(|row| {
            Ok(Node {
                name: NodeName::new(filled(row, "node").ok_or("a node without name")?),
                online: text(row, "status").as_deref() == Some("online"),
                memory_bytes: whole(row, "maxmem"),
                memory_used_bytes: whole(row, "mem"),
                cpus: small(row, "maxcpu"),
            })
        })
        .collect()
}

/// The containers among the guests. One unreadable row makes the whole list an error: a list without that row would
/// look like proof that the container is gone.
pub(super) fn containers(data: &Value) -> Result<Vec<ContainerSummary>, Unreadable> {
    rows(data)?
        .iter()
        .filter(|row| text(row, "type").as_deref() == Some("lxc"))
        .map(|row| {
            let vmid = text(row, "vmid").ok_or("a container without number")?;
            Ok(ContainerSummary {
                vmid: vmid.parse::<VmId>().map_err(|error| error.to_string())?,
                node: NodeName::new(filled(row, "node").ok_or_else(|| format!("container {vmid} is on no node"))?),
                name: filled(row, "name"),
                power: power(row),
                template: flag(row, "template"),
                lock: filled(row, "lock"),
                memory_bytes: whole(row, "maxmem"),
            })
        })
        .collect()
}

/// What has `vmid` among the guests. Like [`containers`], not answered from an unreadable list.
pub(super) fn whereabouts(data: &Value, vmid: VmId) -> Result<Whereabouts, Unreadable> {
    if let Some(container) = containers(data)?.into_iter().find(|container| container.vmid == vmid) {
        return Ok(Whereabouts::Container(container.node));
    }
    let number = vmid.to_string();
    let other = rows(data)?.iter().any(|row| text(row, "vmid").as_deref() == Some(number.as_str()));
    Ok(if other { Whereabouts::OtherGuest } else { Whereabouts::Unlisted })
}

pub(super) fn power(row: &Value) -> PowerState {
    match text(row, "status").as_deref() {
        Some("running") => PowerState::Running,
        Some("stopped") => PowerState::Stopped,
        Some(_) | None => PowerState::Unknown,
    }
}

pub(super) fn config(data: &Value) -> Result<ContainerConfig, Unreadable> {
    if !data.is_object() {
        return Err("the configuration is no object".to_owned());
    }
    let tags = text(data, "tags").unwrap_or_default();
    let tags = tags.split([';', ',', ' ']).filter(|tag| !tag.is_empty());
    Ok(ContainerConfig {
        hostname: filled(data, "hostname"),
        description: text(data, "description").map(|words| words.trim_end().to_owned()),
        lock: filled(data, "lock"),
        memory_mib: small(data, "memory"),
        cores: small(data, "cores"),
        net0: filled(data, "net0"),
        tags: tags.map(str::to_owned).collect(),
        template: flag(data, "template"),
    })
}

/// The names of the options that are going to be changed or removed at the next start.
pub(super) fn pending(data: &Value) -> Result<Vec<String>, Unreadable> {
    let waits = |row: &&Value| field(row, "pending").is_some() || field(row, "delete").is_some();
    Ok(rows(data)?.iter().filter(waits).filter_map(|row| filled(row, "key")).collect())
}

/// All interfaces except `lo`. A stopped container has `null` instead of a list, and one that waits for DHCP has interfaces
/// without addresses.
pub(super) fn interfaces(data: &Value) -> Result<Vec<Interface>, Unreadable> {
    if data.is_null() {
        return Ok(Vec::new());
    }
    let others = rows(data)?.iter().filter(|row| text(row, "name").as_deref() != Some("lo"));
    Ok(others.map(interface).collect())
}

fn interface(row: &Value) -> Interface {
    let mac = filled(row, "hwaddr").or_else(|| filled(row, "hardware-address")).unwrap_or_default();
    // This key has every address; before 8.4 there is only the last one of each kind.
    let listed = field(row, "ip-addresses").and_then(Value::as_array);
    let listed = listed.into_iter().flatten().filter_map(|entry| text(entry, "ip-address"));
    let single = ["inet", "inet6"].iter().filter_map(|kind| text(row, kind));
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in listed.chain(single).filter_map(|written| plain_address(&written)) {
        if is_reachable(address) && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses.sort_by_key(IpAddr::is_ipv6);
    Interface { mac: mac.to_ascii_uppercase(), addresses }
}

fn plain_address(written: &str) -> Option<IpAddr> {
    let (address, _prefix) = written.split_once('/').unwrap_or((written, ""));
    address.trim().parse().ok()
}

fn is_reachable(address: IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !link_local && !address.is_unspecified() && !address.is_multicast()
}

/// Whether a list of active tasks contains a running one; tasks that just ended stay in the list for a while.
pub(super) fn any_running(data: &Value) -> Result<bool, Unreadable> {
    let running = |row: &Value| {
        let ended = field(row, "endtime").is_some_and(|time| !time.is_null());
        !ended && text(row, "status").is_none_or(|status| status.eq_ignore_ascii_case("running"))
    };
    Ok(rows(data)?.iter().any(running))
}

pub(super) fn rows(data: &Value) -> Result<&[Value], Unreadable> {
    match data {
        Value::Array(rows) => Ok(rows),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            Err("the answer is not a list".to_owned())
        }
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
