//! What a server shall have at the edge: the plan, decided from the server and the policy alone. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::owner_mark::OwnerMark;
use super::proxy::Registration;
use super::traefik::Transport;
use super::wanted::{NotPublishable, PublicAddress, PublicRecord, WantedRecord, records_of};
use crate::kernel::{DnsName, Hostname, Target, VmId};

/// The game whose players come through the proxy.
const MINECRAFT: &str = "minecraft";
/// The service its client looks up.
const MINECRAFT_SERVICE: &str = "_minecraft._tcp";
/// The port its server listens on in the container.
const MINECRAFT_PORT: u16 = 25_565;

/// What kind of server is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishedWorkload<'a> {
    /// A game, by its id in the catalog.
    Game(&'a str),
    /// A dev container.
    Dev,
}

/// The server, as far as the edge is concerned.
#[derive(Clone, Debug)]
pub struct ServerFacts<'a> {
    /// Its VMID.
    pub vmid: VmId,
    /// Its host name.
    pub host: &'a Hostname,
    /// What runs in it.
    pub workload: PublishedWorkload<'a>,
    /// The address of its container.
    pub address: IpAddr,
    /// The public port it holds, if its game has no proxy.
    pub port: Option<u16>,
}

/// The policy of the edge.
#[derive(Clone, Debug, Default)]
pub struct EdgePolicy {
    /// The zone servers are named in; without one no names are published.
    pub zone: Option<DnsName>,
    /// Where players reach the proxy, for the internal DNS server; for the public one too, without an address of its own.
    pub proxy_ip: Option<Ipv4Addr>,
    /// Where the internet reaches us, for the public DNS server; for the internal one too, without an address of its own.
    pub public_ip: Option<Ipv4Addr>,
    /// The port of the proxy.
    pub proxy_port: u16,
    /// The domain of IDE hosts.
    pub ide_suffix: Option<DnsName>,
    /// The targets that are configured.
    pub targets: BTreeSet<Target>,
}

/// A public port that leads to a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRoute {
    /// The port.
    pub port: u16,
    /// Which transports are accepted there.
    pub transports: Vec<Transport>,
    /// Where they are forwarded to.
    pub backend: SocketAddr,
}

/// What a server has at each target. It is stored with the server, which is unpublished from it and never from a later plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// The server.
    pub vmid: VmId,
    /// Its public name: canonical, the same at every target.
    pub name: DnsName,
    /// What its owner gives to players: the name, with the port where it is needed.
    pub address: String,
    /// Its records at each DNS server.
    pub records: BTreeMap<Target, Vec<PublicRecord>>,
    /// Its registration with the proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration: Option<Registration>,
    /// The public port that leads to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<PortRoute>,
    /// The host of its IDE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ide: Option<DnsName>,
}

impl Publication {
    /// The targets it names.
    pub fn targets(&self) -> BTreeSet<Target> {
        let mut targets: BTreeSet<Target> = self.records.keys().copied().collect();
        targets.extend(self.registration.as_ref().map(|_| Target::Velocity));
        targets.extend(self.route.as_ref().map(|_| Target::Traefik));
        targets.extend(self.ide.as_ref().map(|_| Target::Ide));
        targets
    }

    /// What it shall have at the DNS server `target`, marked with `generation`.
    pub fn wanted(&self, target: Target, generation: u32) -> Vec<WantedRecord> {
        let mark = OwnerMark { vmid: self.vmid, generation };
        let records = self.records.get(&target).into_iter().flatten();
        records.map(|record| WantedRecord::new(record.name.clone(), record.data.clone(), mark)).collect()
    }

    /// The names of its records at any DNS server.
    pub fn names(&self) -> BTreeSet<DnsName> {
        self.records.values().flatten().map(|record| record.name.clone()).collect()
    }
}

/// Plans what `server` has at the edge; `None` when it has nothing there, because there is no zone for it.
pub fn plan(server: &ServerFacts<'_>, policy: &EdgePolicy) -> Result<Option<Publication>, NotPublishable> {
    match server.workload {
        PublishedWorkload::Game(game) => match &policy.zone {
            Some(zone) => plan_game(server, game, zone, policy).map(Some),
            None => Ok(None),
        },
        PublishedWorkload::Dev => match &policy.ide_suffix {
            Some(suffix) => plan_dev(server, suffix).map(Some),
            None => Ok(None),
        },
    }
}

fn plan_game(
    server: &ServerFacts<'_>,
    game: &str,
    zone: &DnsName,
    policy: &EdgePolicy,
) -> Result<Publication, NotPublishable> {
    let proxied = game == MINECRAFT;
    let (port, service) = match (proxied, server.port) {
        (true, _) => (policy.proxy_port, Some(MINECRAFT_SERVICE)),
        (false, Some(port)) => (port, None),
        (false, None) => (0, None),
    };
    let inner = if proxied { policy.proxy_ip.or(policy.public_ip) } else { policy.public_ip.or(policy.proxy_ip) };
    let outer = policy.public_ip.or(policy.proxy_ip);
    let mut records = BTreeMap::new();
    for target in policy.targets.iter().copied() {
        let edge = match target {
            Target::Technitium => inner,
            Target::Cloudflare => outer,
            Target::Velocity | Target::Traefik | Target::Ide => None,
        };
        if let Some(edge) = edge {
            records.insert(target, records_of(server.host, zone, &PublicAddress { edge, port, service })?);
        }
    }
    let name = DnsName::of_host(server.host, zone);
    let address = match (proxied, server.port) {
        (false, Some(port)) => format!("{name}:{port}"),
        _ => name.to_string(),
    };
    let backend = |port| SocketAddr::new(server.address, port);
    let registration = (proxied && policy.targets.contains(&Target::Velocity))
        .then(|| Registration { name: name.clone(), address: backend(MINECRAFT_PORT) });
    let route = server.port.filter(|_| !proxied).map(|port| PortRoute {
        port,
        transports: transports(game).to_vec(),
        backend: backend(port),
    });
    Ok(Publication { vmid: server.vmid, name, address, records, registration, route, ide: None })
}

fn plan_dev(server: &ServerFacts<'_>, suffix: &DnsName) -> Result<Publication, NotPublishable> {
    let name: DnsName = DnsName::of_host(server.host, suffix).as_str().parse()?;
    Ok(Publication {
        vmid: server.vmid,
        address: name.to_string(),
        ide: Some(name.clone()),
        name,
        records: BTreeMap::new(),
        registration: None,
        route: None,
    })
}

/// Whether players of `game` connect to a public port of the server's own.
pub fn needs_port(game: &str) -> bool {
    game != MINECRAFT
}

/// The port a server of `game` listens on in its container, where `public` is the public port it holds. A game without a
/// proxy listens on that port, because such games announce their port to server lists and players.
pub fn listening_port(game: &str, public: Option<u16>) -> u16 {
    match public {
        Some(port) if needs_port(game) => port,
        _ => MINECRAFT_PORT,
    }
}

/// The transports that clients of `game` use. A game that is not known here gets both.
fn transports(game: &str) -> &'static [Transport] {
    match game {
        "terraria" => &[Transport::Tcp],
        "valheim" | "projectzomboid" => &[Transport::Udp],
        _ => &[Transport::Tcp, Transport::Udp],
    }
}

#[cfg(test)]
#[path = "publication_tests.rs"]
mod tests;
