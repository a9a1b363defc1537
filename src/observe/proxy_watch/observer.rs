//! What the passes of the watch and its pings share.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::DatabaseConnection;

use super::observation::ProxyObservation;
use super::published::Published;
use crate::edge::PROXY_KEY;
use crate::kernel::Clock;
use crate::observe::facts::{Freshness, PollerId};
use crate::observe::live::LiveState;
use crate::ports::{GameProxy, StatusPing};
use crate::servers::payload;

/// Dependencies of the watch.
#[derive(Clone)]
pub struct ProxyWatch {
    /// The servers.
    pub db: DatabaseConnection,
    /// The observations of their agents, and when they were pinged.
    pub live: LiveState,
    /// How old the observations may be.
    pub freshness: Freshness,
    /// The proxy, if there is one.
    pub proxy: Option<Arc<dyn GameProxy>>,
    /// Pings servers for their status.
    pub ping: Arc<dyn StatusPing>,
    /// The clock.
    pub clock: Clock,
    /// Between two passes, and between two pings of a server that changes.
    pub interval: Duration,
    /// The longest time between two pings of a server that has been the same for long. An observation of the proxy has to
    /// count for longer.
    pub longest_ping_interval: Duration,
    /// This process among those that observe.
    pub id: PollerId,
}

/// What a pass and the pings share. Cheap to clone.
#[derive(Clone)]
pub(super) struct Observer {
    pub(super) watch: Arc<ProxyWatch>,
}

impl Observer {
    /// Merges the observation if it is worth a write. The row that was read last decides that first, so that a pass
    /// without news costs no query; the merge decides again, by the row as it is then.
    pub(super) async fn store(&self, server: &Published, seen: &ProxyObservation<'_>) {
        let ProxyWatch { db, clock, .. } = &*self.watch;
        let (vmid, now) = (server.key.vmid, clock.now());
        if seen.change(server, now).is_none() {
            return;
        }
        let merged = payload::merge(db, vmid, PROXY_KEY, now, |row, _| seen.change(&Published::of(row)?, now));
        if let Err(error) = merged.await {
            tracing::debug!(%vmid, %error, "the observation of {vmid} could not be stored");
        }
    }
}
