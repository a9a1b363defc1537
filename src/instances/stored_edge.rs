//! How players reach a server: what its payload says of edge and proxy, merged with what is observed of it. Pure.

use crate::db::entities::instance::{self, InstanceKind, Lifecycle};
use crate::edge::{
    EDGE_KEY, EdgeRecord, EdgeState, Intent, PROXY_KEY, PingState, ProxyPresence, ProxyRecord, needs_port,
};
use crate::kernel::Timestamp;
use crate::servers::payload;

use super::readiness::{Connection, Readiness, connection};
use crate::observe::facts::Observation;

/// What is stored of the way to a server.
#[derive(Clone, Debug, Default)]
pub struct StoredEdge {
    /// Its publication; `None` when it never had one.
    pub edge: Option<EdgeRecord>,
    /// What is known of it at the proxy, in the present publication.
    pub proxy: ProxyRecord,
    /// Whether its game answers the ping we know.
    pings: bool,
    /// Whether it is being deleted.
    deleting: bool,
}

impl StoredEdge {
    /// What the row of a server says. What cannot be read counts as never said; writers of it complain.
    pub fn of(row: &instance::Model) -> Self {
        let edge: Option<EdgeRecord> = payload::read(row, EDGE_KEY).ok().flatten();
        let proxy: ProxyRecord = payload::read(row, PROXY_KEY).ok().flatten().unwrap_or_default();
        let proxy = edge.as_ref().map(|edge| edge.proxy_record(proxy.clone())).unwrap_or(proxy);
        let pings = row.kind == InstanceKind::Game && !needs_port(&row.software);
        Self { edge, proxy, pings, deleting: row.lifecycle != Lifecycle::Active }
    }

    /// What players are told to connect to, while it is to be out.
    pub fn address(&self) -> Option<&str> {
        let out = self.edge.as_ref().filter(|edge| edge.intent == Intent::Published && !self.deleting);
        out.map(|edge| edge.publication.address.as_str())
    }

    /// How far its publication is, over all targets together. The record of a server that is being deleted still says what
    /// was out; what matters then is that it is on its way back.
    pub fn edge_state(&self) -> Option<EdgeState> {
        let edge = self.edge.as_ref()?;
        Some(if self.deleting { EdgeState::Unpublishing } else { edge.state() })
    }

    /// Whether its workload serves. What is still heard of a server that is being deleted is of no use to anybody.
    pub fn readiness(&self, seen: &Observation) -> Readiness {
        if self.deleting { Readiness::Deleting } else { Readiness::of(seen) }
    }

    /// Whether the proxy knows the server.
    pub fn presence(&self, now: Timestamp) -> ProxyPresence {
        match &self.edge {
            Some(edge) if edge.publication.registration.is_some() => self.proxy.presence(now),
            _ => ProxyPresence::NotNeeded,
        }
    }

    /// How the last ping went.
    pub fn ping(&self, now: Timestamp) -> PingState {
        if self.pings { self.proxy.ping_state(now) } else { PingState::NotNeeded }
    }

    /// Whether players can connect; `None` for a server that has nothing at the edge.
    pub fn connection(&self, seen: &Observation, now: Timestamp) -> Option<Connection> {
        let edge = self.edge_state()?;
        Some(connection(self.readiness(seen), edge, self.presence(now), self.ping(now)))
    }
}
