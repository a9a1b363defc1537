//! Compares what the game proxy lists with what should be registered (docs/contracts/edge.md C2 and C3).

use std::collections::HashMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::kernel::{DnsName, text_enum};
use crate::ports::ProxyEntry;

/// A server that should be registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// Its canonical name: the public name, lower-case, without a final dot.
    pub name: DnsName,
    /// Where the proxy forwards to.
    pub address: SocketAddr,
}

text_enum! {
    /// A way in which a registration differs from what should be there.
    pub enum ProxyDrift {
        /// It forwards to another address.
        Address = "address",
        /// It is registered under its first label or in another spelling, so that it cannot be removed by its name.
        Name = "name",
        /// It is registered more than once.
        Duplicate = "duplicate",
    }
}

/// What was found for one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyVerdict {
    /// It is registered once and correctly, as far as the proxy reports.
    InSync,
    /// It is not registered.
    Missing,
    /// It is registered in another form.
    Drifted(Vec<ProxyDrift>),
}

/// One change at the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyChange {
    /// Remove the entry of exactly this spelling.
    Unregister(String),
    /// Register the server.
    Register(Registration),
}

/// A complete listing of the proxy by canonical names, for comparisons with many servers.
#[derive(Clone, Debug, Default)]
pub struct ProxyIndex(HashMap<String, Vec<ProxyEntry>>);

impl ProxyIndex {
    /// Reads the name of each entry once.
    pub fn of(listed: &[ProxyEntry]) -> Self {
        let mut index: HashMap<String, Vec<ProxyEntry>> = HashMap::new();
        for entry in listed {
            if let Some(name) = entry.canonical() {
                index.entry(name.as_str().to_owned()).or_default().push(entry.clone());
            }
        }
        Self(index)
    }

    /// The entries that mean `name`, in any spelling or by its first label.
    pub fn named(&self, name: &DnsName) -> Vec<ProxyEntry> {
        let keys = [name.as_str(), name.first_label()];
        let keys = if keys[0] == keys[1] { &keys[..1] } else { &keys[..] };
        keys.iter().filter_map(|key| self.0.get(*key)).flatten().cloned().collect()
    }
}

/// Compares one server with a complete listing: the verdict, and what has to change. An entry of the same name with another
/// address or spelling is removed first, because the proxy refuses to replace it.
pub fn compare_proxy(wanted: &Registration, listed: &[ProxyEntry]) -> (ProxyVerdict, Vec<ProxyChange>) {
    let is_right = |entry: &ProxyEntry| {
        entry.name == wanted.name.as_str() && entry.address.is_none_or(|address| address == wanted.address)
    };
    let entries: Vec<&ProxyEntry> = listed.iter().filter(|entry| entry.means(&wanted.name)).collect();
    let register = ProxyChange::Register(wanted.clone());
    if entries.is_empty() {
        return (ProxyVerdict::Missing, vec![register]);
    }
    let mut drifts = Vec::new();
    let mut changes = Vec::new();
    for entry in entries.iter().filter(|entry| !is_right(entry)) {
        let drift = if entry.name == wanted.name.as_str() { ProxyDrift::Address } else { ProxyDrift::Name };
        if !drifts.contains(&drift) {
            drifts.push(drift);
        }
        changes.push(ProxyChange::Unregister(entry.name.clone()));
    }
    if drifts.is_empty() {
        return (ProxyVerdict::InSync, changes);
    }
    if entries.len() > 1 {
        drifts.push(ProxyDrift::Duplicate);
    }
    // The registry ignores case: removing one spelling may remove the right entry too.
    changes.push(register);
    (ProxyVerdict::Drifted(drifts), changes)
}

/// The spellings of `listed` that are `former` registrations of a server, under a name that it no longer has. An entry with
/// another address belongs to another server.
pub fn left_behind(former: &[Registration], listed: &[ProxyEntry]) -> Vec<String> {
    let is_left = |entry: &&ProxyEntry| {
        former.iter().any(|server| {
            entry.canonical().as_ref() == Some(&server.name)
                && entry.address.is_none_or(|address| address == server.address)
        })
    };
    listed.iter().filter(is_left).map(|entry| entry.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_finds_what_a_look_at_every_entry_finds() {
        let names =
            ["mc-1.play.test", "MC-1.Play.Test.", "mc-1", "mc-2.play.test", "mc-10.play.test", "not a name", ""];
        let listed = names.map(|name| ProxyEntry { name: name.to_owned(), address: None });
        let index = ProxyIndex::of(&listed);
        for (name, found) in [("mc-1.play.test", 3), ("mc-2.play.test", 1), ("mc-3.play.test", 0), ("mc-1", 1)] {
            let name: DnsName = name.parse().unwrap();
            let mut wanted: Vec<ProxyEntry> = listed.iter().filter(|entry| entry.means(&name)).cloned().collect();
            let mut indexed = index.named(&name);
            wanted.sort_by(|one, other| one.name.cmp(&other.name));
            indexed.sort_by(|one, other| one.name.cmp(&other.name));
            assert_eq!((indexed.len(), indexed), (found, wanted), "{name}");
        }
    }
}
