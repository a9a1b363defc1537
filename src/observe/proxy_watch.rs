//! Watches the proxy and the game servers behind it while `zpack serve` runs.
//!
//! Once an interval the proxy is listed, whatever the number of servers, and each running Minecraft server is pinged in
//! its container. The results are merged into the servers' payloads when they change something, or when the stored
//! observation is about to expire. A server that the proxy no longer lists becomes due at the edge, where the
//! reconciler registers it again; after a restart of the proxy that happens to all servers.
//!
//! Several processes may watch: an observation that is fresh is not repeated.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use sea_orm::{DatabaseConnection, DbErr};
use tokio_util::sync::CancellationToken;

use super::facts::{Freshness, Live, observe};
use super::live::LiveState;
use super::status::ServerStatus;
use crate::background::{PassError, Report, Schedule, Task, TaskName};
use crate::db::entities::instance::{self, InstanceKind};
use crate::edge::{
    EDGE_KEY, EdgeRecord, Intent, PROXY_KEY, PROXY_TRUST, ProxyIndex, ProxyRecord, ProxyVerdict, Registration, Target,
    TargetRecord, TargetState, compare_proxy,
};
use crate::kernel::{Clock, Timestamp, VmId};
use crate::ports::{GameProxy, Ping, PingTarget, ProxyError, ProxyListing, StatusPing};
use crate::servers::payload::{self, PayloadError, PayloadUpdate};
use crate::servers::store;

/// How many servers are pinged at a time.
const PINGS_AT_A_TIME: usize = 32;

/// Dependencies of the watch.
#[derive(Clone)]
pub struct ProxyWatch {
    /// The servers.
    pub db: DatabaseConnection,
    /// The observations of their agents.
    pub live: LiveState,
    /// How old those may be.
    pub freshness: Freshness,
    /// The proxy, if there is one.
    pub proxy: Option<Arc<dyn GameProxy>>,
    /// Pings servers for their status.
    pub ping: Arc<dyn StatusPing>,
    /// The clock.
    pub clock: Clock,
    /// Between two passes.
    pub interval: Duration,
}

#[async_trait]
impl Task for ProxyWatch {
    fn name(&self) -> TaskName {
        TaskName::of("proxy-watch")
    }

    fn schedule(&self) -> Schedule {
        Schedule::every(self.interval)
    }

    async fn pass(&mut self, stop: &CancellationToken) -> Result<Report, PassError> {
        match stop.run_until_cancelled(self.observe()).await {
            Some(observed) => Ok(Report::done(observed?)),
            None => Ok(Report::default()),
        }
    }
}

/// Why a pass is incomplete.
#[derive(Debug, thiserror::Error)]
enum WatchError {
    /// Nothing was observed.
    #[error("the published servers cannot be read")]
    Servers(#[from] DbErr),
    /// The servers were pinged anyway.
    #[error("the proxy cannot be listed")]
    Listing(#[from] ProxyError),
}

impl ProxyWatch {
    /// One pass; returns how many servers it covered. If the proxy cannot be listed, the pings are still stored.
    async fn observe(&self) -> Result<usize, WatchError> {
        let servers: Vec<Watched> =
            store::list_active_games(&self.db).await?.into_iter().filter_map(Watched::of).collect();
        if servers.is_empty() {
            return Ok(0);
        }
        let (listing, failure) = match &self.proxy {
            Some(proxy) => match proxy.list().await {
                Ok(listing) => (Some(Arc::new(Listing::of(listing, self.clock.now()))), None),
                // `zpack doctor` reports this; later passes cannot change it.
                Err(ProxyError::Unsupported { .. }) => (None, None),
                Err(error) => (None, Some(error)),
            },
            None => (None, None),
        };
        let running = self.running(&servers).await;
        let count = servers.len();
        let each = servers.into_iter().map(|server| {
            let runs = running.get(&server.row.vmid).copied().unwrap_or(false);
            self.observe_server(server, listing.clone(), runs)
        });
        stream::iter(each).buffer_unordered(PINGS_AT_A_TIME).collect::<Vec<()>>().await;
        failure.map_or(Ok(count), |error| Err(error.into()))
    }

    /// Which of the servers run, as far as their agents report.
    async fn running(&self, servers: &[Watched]) -> BTreeMap<VmId, bool> {
        let rows: Vec<&instance::Model> = servers.iter().map(|server| &server.row).collect();
        let (live, now) = (self.live.read(&rows).await, self.clock.now());
        let runs =
            |live: &Live| observe(InstanceKind::Game, live, now, self.freshness).merged.status == ServerStatus::Running;
        rows.into_iter().map(|row| row.vmid).zip(live.iter().map(runs)).collect()
    }

    async fn observe_server(&self, server: Watched, listing: Option<Arc<Listing>>, runs: bool) {
        let Watched { row, edge, wanted, proxy } = server;
        let listed = listing.as_deref().map(|Listing { listing, index, at }| {
            let listed = compare_proxy(&wanted, &index.named(&wanted.name)).0 == ProxyVerdict::InSync;
            (listing, listed, *at)
        });
        let now = self.clock.now();
        let fresh = proxy.ping.as_ref().is_some_and(|note| now.since(note.at) < self.interval.mul_f64(0.8));
        let ping = match runs && !fresh {
            true => {
                let target = PingTarget { address: wanted.address, host: wanted.name.to_string() };
                Some((self.ping.ping(&target).await, self.clock.now()))
            }
            false => None,
        };
        let vmid = row.vmid;
        let seen = ProxyObservation { edge: &edge, listed, ping: ping.as_ref() };
        if let Err(error) = self.store(&row, &seen).await {
            tracing::debug!(%vmid, %error, "the observation of {vmid} could not be stored");
        }
    }

    /// Merges the observation if it is worth a write. The row read at the beginning of the pass decides that first, so
    /// that a pass without news costs no query; the merge decides again, by the row as it is then.
    async fn store(&self, row: &instance::Model, seen: &ProxyObservation<'_>) -> Result<(), PayloadError> {
        let now = self.clock.now();
        if seen.change(row, payload::read(row, PROXY_KEY)?, now).is_none() {
            return Ok(());
        }
        payload::merge(&self.db, row.vmid, PROXY_KEY, now, |row, stored| seen.change(row, stored, now)).await.map(drop)
    }
}

/// What the proxy lists.
struct Listing {
    listing: ProxyListing,
    index: ProxyIndex,
    /// When it was read.
    at: Timestamp,
}

impl Listing {
    fn of(listing: ProxyListing, at: Timestamp) -> Self {
        Self { index: ProxyIndex::of(&listing.servers), listing, at }
    }
}

/// A server with a registration at the proxy.
struct Watched {
    row: instance::Model,
    /// Its publication.
    edge: EdgeRecord,
    /// The registration it should have.
    wanted: Registration,
    /// What is stored of it at the proxy, in this publication.
    proxy: ProxyRecord,
}

impl Watched {
    /// `row`, if it has a registration. A value that cannot be read counts as absent; the code that writes it reports
    /// the error.
    fn of(row: instance::Model) -> Option<Self> {
        let edge: EdgeRecord = payload::read(&row, EDGE_KEY).ok().flatten()?;
        let wanted = edge.publication.registration.clone()?;
        let proxy: ProxyRecord = payload::read(&row, PROXY_KEY).ok().flatten().unwrap_or_default();
        Some(Self { proxy: edge.proxy_record(proxy), row, edge, wanted })
    }
}

/// What one pass observed of one server.
struct ProxyObservation<'a> {
    /// The publication during which it was observed.
    edge: &'a EdgeRecord,
    /// The listing of the proxy, whether the server was registered correctly in it, and when it was read.
    listed: Option<(&'a ProxyListing, bool, Timestamp)>,
    /// The result of a ping and when it ended.
    ping: Option<&'a (Ping, Timestamp)>,
}

impl ProxyObservation<'_> {
    /// The change to `row`, which has `stored`; `None` when nothing changes.
    fn change(
        &self,
        row: &instance::Model,
        stored: Option<ProxyRecord>,
        now: Timestamp,
    ) -> Option<PayloadUpdate<ProxyRecord>> {
        // Published again meanwhile: the observation belongs to the previous publication.
        let current: Option<EdgeRecord> = payload::read(row, EDGE_KEY).ok().flatten();
        let current =
            current.filter(|now| now.generation == self.edge.generation && now.intent == Intent::Published)?;
        let before = self.edge.proxy_record(stored.clone().unwrap_or_default());
        let mut record = before.clone();
        if let Some((listing, listed, at)) = self.listed {
            record = record.sighted(listing, listed, at);
        }
        if let Some((ping, at)) = self.ping {
            record = record.pinged(ping, *at);
        }
        // No need to make it due: it is being published, or its registration is retried anyway.
        let is_tried = |target: &TargetRecord| matches!(target.state, TargetState::Retrying | TargetState::Blocked);
        let in_hand =
            row.edge_due_at != current.due_at() || current.targets.get(&Target::Velocity).is_some_and(is_tried);
        let due = matches!(self.listed, Some((_, false, _))) && !in_hand;
        let old = stored.as_ref().unwrap_or(&before);
        (due || is_news(old, &record, now))
            .then(|| PayloadUpdate { value: Some(record), edge_due_at: due.then_some(Some(now)) })
    }
}

/// Whether `new` differs from `old`, or `old` is about to expire.
fn is_news(old: &ProxyRecord, new: &ProxyRecord, now: Timestamp) -> bool {
    let differs =
        old.since != new.since || old.presence(now) != new.presence(now) || old.ping_state(now) != new.ping_state(now);
    let aged = |at: Option<Timestamp>| at.is_some_and(|at| now.since(at) > PROXY_TRUST / 2);
    let fresher = |old: Option<Timestamp>, new: Option<Timestamp>| new > old && aged(old);
    let seen = |record: &ProxyRecord| record.seen.as_ref().map(|sighting| sighting.at);
    let pinged = |record: &ProxyRecord| record.ping.as_ref().map(|note| note.at);
    differs || fresher(seen(old), seen(new)) || fresher(pinged(old), pinged(new))
}
