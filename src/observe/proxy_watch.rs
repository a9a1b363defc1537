//! Looks at the proxy and at the game servers behind it, for as long as `zpack serve` runs.
//!
//! The proxy is listed once an interval, whatever the number of servers; each running Minecraft server is pinged in its
//! container. What was learnt is merged into the servers' payloads when it says something new, or when the old word is
//! about to expire. A server the proxy has lost is made due at the edge, whose reconciler registers it again: after a
//! restart of the proxy that is every one of them.
//!
//! Several processes may watch: a word that is fresh is not sought again.

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
    EDGE_KEY, EdgeRecord, Intent, PROXY_KEY, PROXY_TRUST, ProxyRecord, ProxyVerdict, Registration, Target,
    TargetRecord, TargetState, compare_proxy,
};
use crate::kernel::{Clock, Timestamp, VmId};
use crate::ports::{GameProxy, Ping, PingTarget, ProxyError, ProxyListing, StatusPing};
use crate::servers::payload::{self, Change, PayloadError};
use crate::servers::store;

/// How many servers are pinged at a time.
const PINGS_AT_A_TIME: usize = 32;

/// What the watch works with.
#[derive(Clone)]
pub struct ProxyWatch {
    /// The servers.
    pub db: DatabaseConnection,
    /// What their agents say.
    pub live: LiveState,
    /// How long that counts.
    pub freshness: Freshness,
    /// The proxy, when there is one.
    pub proxy: Option<Arc<dyn GameProxy>>,
    /// Asks servers for their status.
    pub ping: Arc<dyn StatusPing>,
    /// The clock.
    pub clock: Clock,
    /// From one look to the next.
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
        match stop.run_until_cancelled(self.look()).await {
            Some(looked) => Ok(Report::done(looked?)),
            None => Ok(Report::default()),
        }
    }
}

/// Why a look is not complete.
#[derive(Debug, thiserror::Error)]
enum LookError {
    /// Nothing was looked at.
    #[error("the published servers cannot be read")]
    Servers(#[from] DbErr),
    /// The servers were pinged all the same.
    #[error("the proxy cannot be listed")]
    Listing(#[from] ProxyError),
}

impl ProxyWatch {
    /// One look at everything; at how many servers. A proxy that cannot be listed hides no ping.
    async fn look(&self) -> Result<usize, LookError> {
        let servers: Vec<Watched> =
            store::list_active_games(&self.db).await?.into_iter().filter_map(Watched::of).collect();
        if servers.is_empty() {
            return Ok(0);
        }
        let (listing, failure) = match &self.proxy {
            Some(proxy) => match proxy.list().await {
                Ok(listing) => (Some(Arc::new((listing, self.clock.now()))), None),
                // `zpack doctor` says so; no later look can change it.
                Err(ProxyError::Unsupported { .. }) => (None, None),
                Err(error) => (None, Some(error)),
            },
            None => (None, None),
        };
        let running = self.running(&servers).await;
        let count = servers.len();
        let each = servers.into_iter().map(|server| {
            let runs = running.get(&server.row.vmid).copied().unwrap_or(false);
            self.look_at(server, listing.clone(), runs)
        });
        stream::iter(each).buffer_unordered(PINGS_AT_A_TIME).collect::<Vec<()>>().await;
        failure.map_or(Ok(count), |error| Err(error.into()))
    }

    /// Which of the servers run, as far as their agents say.
    async fn running(&self, servers: &[Watched]) -> BTreeMap<VmId, bool> {
        let rows: Vec<&instance::Model> = servers.iter().map(|server| &server.row).collect();
        let (live, now) = (self.live.read(&rows).await, self.clock.now());
        let runs =
            |live: &Live| observe(InstanceKind::Game, live, now, self.freshness).merged.status == ServerStatus::Running;
        rows.into_iter().map(|row| row.vmid).zip(live.iter().map(runs)).collect()
    }

    async fn look_at(&self, server: Watched, listing: Option<Arc<(ProxyListing, Timestamp)>>, runs: bool) {
        let Watched { row, edge, wanted, proxy } = server;
        let sighted = listing.as_deref().map(|(listing, at)| {
            let listed = compare_proxy(&wanted, &listing.servers).0 == ProxyVerdict::InSync;
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
        let seen = ProxyObservation { edge: &edge, sighted, ping: ping.as_ref() };
        if let Err(error) = self.note(&row, &seen).await {
            tracing::debug!(%vmid, %error, "what was seen of {vmid} was not kept");
        }
    }

    /// Merges what was seen, if it is worth a write. The row this look began with says whether it is, so that a look that
    /// learns nothing costs no query; the merge decides anew, by the row as it is then.
    async fn note(&self, row: &instance::Model, seen: &ProxyObservation<'_>) -> Result<(), PayloadError> {
        let now = self.clock.now();
        if seen.change(row, payload::read(row, PROXY_KEY)?, now).is_none() {
            return Ok(());
        }
        payload::merge(&self.db, row.vmid, PROXY_KEY, now, |row, stored| seen.change(row, stored, now)).await.map(drop)
    }
}

/// A server that was published at the proxy.
struct Watched {
    row: instance::Model,
    /// Its publication.
    edge: EdgeRecord,
    /// What the proxy has to know of it.
    wanted: Registration,
    /// What is known of it at the proxy, in this publication.
    proxy: ProxyRecord,
}

impl Watched {
    /// `row`, if it has a registration. What cannot be read counts as never written; writers of it complain.
    fn of(row: instance::Model) -> Option<Self> {
        let edge: EdgeRecord = payload::read(&row, EDGE_KEY).ok().flatten()?;
        let wanted = edge.publication.registration.clone()?;
        let proxy: ProxyRecord = payload::read(&row, PROXY_KEY).ok().flatten().unwrap_or_default();
        Some(Self { proxy: edge.proxy_record(proxy), row, edge, wanted })
    }
}

/// What one look saw of one server.
struct ProxyObservation<'a> {
    /// The publication it was looked at in.
    edge: &'a EdgeRecord,
    /// The listing of the proxy, whether the server was in it as it should be, and when it was read.
    sighted: Option<(&'a ProxyListing, bool, Timestamp)>,
    /// How a ping went and when it ended.
    ping: Option<&'a (Ping, Timestamp)>,
}

impl ProxyObservation<'_> {
    /// What has to be written to `row`, which has `stored`; `None` when that says the same already.
    fn change(
        &self,
        row: &instance::Model,
        stored: Option<ProxyRecord>,
        now: Timestamp,
    ) -> Option<Change<ProxyRecord>> {
        // Published anew meanwhile: what was seen belongs to the publication before.
        let current: Option<EdgeRecord> = payload::read(row, EDGE_KEY).ok().flatten();
        let current =
            current.filter(|now| now.generation == self.edge.generation && now.intent == Intent::Published)?;
        let before = self.edge.proxy_record(stored.clone().unwrap_or_default());
        let mut record = before.clone();
        if let Some((listing, listed, at)) = self.sighted {
            record = record.sighted(listing, listed, at);
        }
        if let Some((ping, at)) = self.ping {
            record = record.pinged(ping, *at);
        }
        // One that is being published, or whose registration is tried again anyway, is in good hands.
        let is_tried = |target: &TargetRecord| matches!(target.state, TargetState::Retrying | TargetState::Blocked);
        let in_hand =
            row.edge_due_at != current.due_at() || current.targets.get(&Target::Velocity).is_some_and(is_tried);
        let due = matches!(self.sighted, Some((_, false, _))) && !in_hand;
        let old = stored.as_ref().unwrap_or(&before);
        (due || is_news(old, &record, now))
            .then(|| Change { value: Some(record), edge_due_at: due.then_some(Some(now)) })
    }
}

/// Whether `new` says something else than `old`, or `old` will soon say nothing any more.
fn is_news(old: &ProxyRecord, new: &ProxyRecord, now: Timestamp) -> bool {
    let differs =
        old.since != new.since || old.presence(now) != new.presence(now) || old.ping_state(now) != new.ping_state(now);
    let aged = |at: Option<Timestamp>| at.is_some_and(|at| now.since(at) > PROXY_TRUST / 2);
    let fresher = |old: Option<Timestamp>, new: Option<Timestamp>| new > old && aged(old);
    let seen = |record: &ProxyRecord| record.seen.as_ref().map(|sighting| sighting.at);
    let pinged = |record: &ProxyRecord| record.ping.as_ref().map(|note| note.at);
    differs || fresher(seen(old), seen(new)) || fresher(pinged(old), pinged(new))
}
