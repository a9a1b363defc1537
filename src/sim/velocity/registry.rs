//! The servers of a running proxy: a map by lower-case name, which compares with the case of the name.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::kernel::Timestamp;

/// How a ping of a server behind the proxy went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastPing {
    /// When it ended.
    pub at: Timestamp,
    /// How long it took; absent when it failed.
    pub latency_ms: Option<u64>,
    /// Why it failed.
    pub error: Option<String>,
}

/// A registered server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// The name as it was registered.
    pub name: String,
    /// The host part of its address, as it was sent.
    pub address: String,
    /// The port.
    pub port: u16,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// The last ping.
    pub last_ping: Option<LastPing>,
}

/// The most servers one proxy knows.
const MAX_SERVERS: usize = 5000;

/// Why a server is not registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRegistered {
    /// Velocity refuses to replace a server: the same name in another spelling or with another address is registered.
    #[error(
        "java.lang.IllegalArgumentException: A server with the name {0} is already registered with another address"
    )]
    Taken(String),
    /// The simulator has no room for another one.
    #[error("the simulated proxy knows {MAX_SERVERS} servers already")]
    Full,
}

/// The registry of one run of the proxy.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Registry(BTreeMap<String, Server>);

impl Registry {
    /// Registers a server; true when it is new, false when exactly this one is registered.
    pub fn register(&mut self, name: &str, address: &str, port: u16, now: Timestamp) -> Result<bool, NotRegistered> {
        let key = name.to_lowercase();
        match self.0.get(&key) {
            Some(known) if known.name == name && known.address == address && known.port == port => Ok(false),
            Some(known) => Err(NotRegistered::Taken(known.name.clone())),
            None if self.0.len() >= MAX_SERVERS => Err(NotRegistered::Full),
            None => {
                let (name, address) = (name.to_owned(), address.to_owned());
                self.0.insert(key, Server { name, address, port, registered_at: now, last_ping: None });
                Ok(true)
            }
        }
    }

    /// Removes the server of exactly this spelling; false when there is none.
    pub fn unregister(&mut self, name: &str) -> bool {
        let key = name.to_lowercase();
        let is_it = self.0.get(&key).is_some_and(|known| known.name == name);
        if is_it {
            self.0.remove(&key);
        }
        is_it
    }

    /// The server for players of this virtual host; the name is compared without case.
    pub fn find(&self, name: &str) -> Option<&Server> {
        self.0.get(&name.to_lowercase())
    }

    /// Keeps the result of a ping, unless the server was replaced in the meantime.
    pub fn pinged(&mut self, server: &Server, now: Timestamp, outcome: Result<Duration, String>) {
        let Some(known) = self.0.get_mut(&server.name.to_lowercase()) else { return };
        if known.registered_at == server.registered_at && known.address == server.address && known.port == server.port {
            let latency_ms = outcome.as_ref().ok().map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
            known.last_ping = Some(LastPing { at: now, latency_ms, error: outcome.err() });
        }
    }

    /// All servers by name.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.0.values()
    }

    /// Removes every server, as a restart of the proxy does.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1000);

    #[test]
    fn names_are_found_without_case_and_compared_with_it() {
        let mut registry = Registry::default();
        assert_eq!(registry.register("MC-1.zone", "10.0.0.1", 25565, NOW), Ok(true));
        assert_eq!(registry.register("MC-1.zone", "10.0.0.1", 25565, NOW), Ok(false));
        for (name, address, port) in
            [("mc-1.zone", "10.0.0.1", 25565), ("MC-1.zone", "10.0.0.2", 25565), ("MC-1.zone", "10.0.0.1", 25566)]
        {
            let refused = registry.register(name, address, port, NOW);
            assert_eq!(refused, Err(NotRegistered::Taken("MC-1.zone".to_owned())), "{name} {address} {port}");
        }
        assert_eq!(registry.find("mc-1.ZONE").unwrap().name, "MC-1.zone");
        assert!(!registry.unregister("mc-1.zone"));
        assert!(registry.unregister("MC-1.zone"));
        assert_eq!(registry.servers().count(), 0);
    }

    #[test]
    fn a_proxy_knows_so_many_servers_and_no_more() {
        let mut registry = Registry::default();
        for number in 0..MAX_SERVERS {
            registry.register(&format!("mc-{number}"), "10.0.0.1", 1, NOW).unwrap();
        }
        assert_eq!(registry.register("mc-more", "10.0.0.1", 1, NOW), Err(NotRegistered::Full));
        assert_eq!(registry.register("mc-7", "10.0.0.1", 1, NOW), Ok(false));
        assert_eq!(registry.servers().count(), MAX_SERVERS);
    }

    #[test]
    fn a_ping_of_a_server_that_was_replaced_is_not_kept_for_the_new_one() {
        let mut registry = Registry::default();
        registry.register("a", "10.0.0.1", 1, NOW).unwrap();
        let old = registry.find("a").unwrap().clone();
        registry.unregister("a");
        registry.register("a", "10.0.0.2", 1, NOW).unwrap();
        registry.pinged(&old, NOW, Ok(Duration::from_millis(3)));
        assert_eq!(registry.find("a").unwrap().last_ping, None);
    }
}
