//! Compares what the game proxy lists with what should be registered (docs/contracts/edge.md C2 and C3).

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
