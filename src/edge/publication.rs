//! What a server shall have at the edge: the plan, decided from the server and the policy alone. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::owner_mark::OwnerMark;
use super::port_layout::{MINECRAFT_PORT, needs_port, port_layout};
use super::proxy::Registration;
use super::traefik::Transport;
use super::wanted::{NotPublishable, PublicAddress, PublicRecord, WantedRecord, records_of};
use crate::kernel::{DnsName, Hostname, Target, VmId};

/// The service its client looks up.
const MINECRAFT_SERVICE: &str = "_minecraft._tcp";

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
    /// The public ports it holds, if its game has no proxy; the first is the one players connect to.
    pub ports: &'a [u16],
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
    /// The public port that players connect to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<PortRoute>,
    /// The other public ports that lead to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_routes: Vec<PortRoute>,
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

    /// Every public port that leads to it.
    pub fn routes(&self) -> impl Iterator<Item = &PortRoute> {
        self.route.iter().chain(&self.further_routes)
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
    let proxied = !needs_port(game);
    let first = server.ports.first().copied().filter(|_| !proxied);
    let (port, service) =
        if proxied { (policy.proxy_port, Some(MINECRAFT_SERVICE)) } else { (first.unwrap_or(0), None) };
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
    let address = match first {
        Some(port) => format!("{name}:{port}"),
        None => name.to_string(),
    };
    let backend = |port| SocketAddr::new(server.address, port);
    let registration = (proxied && policy.targets.contains(&Target::Velocity))
        .then(|| Registration { name: name.clone(), address: backend(MINECRAFT_PORT) });
    let route = |(port, transports): (&u16, &&'static [Transport])| PortRoute {
        port: *port,
        transports: transports.to_vec(),
        backend: backend(*port),
    };
    // A server from before its game had several ports keeps the ones it has.
    let mut routes = server.ports.iter().zip(port_layout(game)).map(route);
    let (route, further_routes) = (routes.next(), routes.collect());
    Ok(Publication { vmid: server.vmid, name, address, records, registration, route, further_routes, ide: None })
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
        further_routes: Vec::new(),
    })
}

#[cfg(test)]
#[path = "publication_tests.rs"]
mod tests;
