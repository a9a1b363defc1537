//! How players reach a server: what its payload stores of edge and proxy, merged with the observations. Pure.

use serde::Deserialize;

use crate::db::entities::instance::{self, InstanceKind, Lifecycle};
use crate::edge::{EDGE_KEY, EdgeState, EdgeSummary, PROXY_KEY, PingState, ProxyPresence, ProxyRecord, needs_port};
use crate::kernel::Timestamp;
use crate::servers::payload::PayloadValues;

use super::readiness::{Connection, Readiness, connection};
use crate::observe::facts::Observation;

/// What is stored of a server's edge.
#[derive(Clone, Debug, Default)]
pub struct StoredEdge {
    /// Its publication; `None` when it was never published.
    pub edge: Option<EdgeSummary>,
    /// What was observed of it at the proxy during the current publication.
    pub proxy: ProxyRecord,
    /// Whether its game answers our status ping.
    pings: bool,
    /// Whether it is being deleted.
    deleting: bool,
}

/// The values of a payload that are shown.
#[derive(Deserialize)]
struct Shown {
    #[serde(default)]
    edge: Option<EdgeSummary>,
    #[serde(default)]
    proxy: Option<ProxyRecord>,
}

impl Shown {
    /// Those of `row`: in one pass, or one by one if a value cannot be read.
    fn of(row: &instance::Model) -> Self {
        serde_json::from_str(&row.payload).unwrap_or_else(|_| {
            let values = PayloadValues::of(row, EDGE_KEY).ok();
            let edge = values.as_ref().and_then(|values| values.read(EDGE_KEY).ok().flatten());
            let proxy = values.as_ref().and_then(|values| values.read(PROXY_KEY).ok().flatten());
            Self { edge, proxy }
        })
    }
}

impl StoredEdge {
    /// Reads the row of a server. A value that cannot be read counts as absent; the code that writes it reports the
    /// error.
    pub fn of(row: &instance::Model) -> Self {
        let Shown { edge, proxy } = Shown::of(row);
        let proxy = proxy.unwrap_or_default();
        let proxy = match &edge {
            Some(edge) => edge.proxy_record(proxy),
            None => proxy,
        };
        let pings = row.kind == InstanceKind::Game && !needs_port(&row.software);
        Self { edge, proxy, pings, deleting: row.lifecycle != Lifecycle::Active }
    }

    /// The address players connect to, while the server is to be published.
    pub fn address(&self) -> Option<&str> {
        self.edge.as_ref().filter(|_| !self.deleting)?.address()
    }

    /// The state of its publication, over all targets together. While a server is being deleted, its record still shows
    /// what was published, but the targets are being unpublished.
    pub fn edge_state(&self) -> Option<EdgeState> {
        let edge = self.edge.as_ref()?;
        Some(if self.deleting { EdgeState::Unpublishing } else { edge.state() })
    }

    /// Whether its workload serves. While a server is being deleted, observations of it do not count.
    pub fn readiness(&self, seen: &Observation) -> Readiness {
        if self.deleting { Readiness::Deleting } else { Readiness::of(seen) }
    }

    /// Whether players are routed to the server, by the proxy or by Traefik.
    pub fn presence(&self, seen: &Observation, now: Timestamp) -> ProxyPresence {
        let presence = |edge: &EdgeSummary| edge.presence(&self.proxy, seen.router_polled_at, now);
        self.edge.as_ref().map_or(ProxyPresence::NotNeeded, presence)
    }

    /// The result of the last ping.
    pub fn ping(&self, now: Timestamp) -> PingState {
        if self.pings { self.proxy.ping_state(now) } else { PingState::NotNeeded }
    }

    /// Whether players can connect; `None` for a server that was not published.
    pub fn connection(&self, seen: &Observation, now: Timestamp) -> Option<Connection> {
        let edge = self.edge_state()?;
        Some(connection(self.readiness(seen), edge, self.presence(seen, now), self.ping(now)))
    }
}
