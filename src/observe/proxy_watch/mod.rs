//! Watches the proxy and the game servers behind it while `zpack serve` runs.
//!
//! Once an interval one of several processes lists the proxy, whatever the number of servers. A server that the proxy no
//! longer lists becomes due at the edge, where the reconciler registers it again; after a restart of the proxy that
//! happens to all servers. Each running Minecraft server is pinged in its container when it is due, by one process at a
//! time (`pings`): often after it changed, rarely while it stays the same. The results are merged into the servers'
//! payloads when they change something, or when the stored observation is about to expire (`observation`).
//!
//! Without Redis every process lists and pings alone; the results are the same.

mod observation;
mod observer;
mod pings;
mod published;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use sea_orm::DbErr;
use tokio_util::sync::CancellationToken;

use self::observation::{ProxyObservation, Sighting};
use self::observer::Observer;
pub use self::observer::ProxyWatch;
use self::pings::Pings;
use self::published::{Published, PublishedServers};
use crate::background::{PassError, Report, Schedule, Task, TaskName};
use crate::edge::{ProxyIndex, ProxyVerdict, compare_proxy};
use crate::ports::ProxyError;
use crate::telemetry::Panicked;

/// How many results of a listing are stored at a time.
const STORED_AT_A_TIME: usize = 8;

impl ProxyWatch {
    /// The background task.
    pub fn task(self) -> ProxyWatchTask {
        let observer = Observer { watch: Arc::new(self) };
        ProxyWatchTask { observer, servers: PublishedServers::default(), pings: Pings::new() }
    }
}

/// The background task that lists the proxy and starts pings. Pings continue during later passes.
pub struct ProxyWatchTask {
    observer: Observer,
    servers: PublishedServers,
    pings: Pings,
}

#[async_trait]
impl Task for ProxyWatchTask {
    fn name(&self) -> TaskName {
        TaskName::of("proxy-watch")
    }

    fn schedule(&self) -> Schedule {
        Schedule::every(self.observer.watch.interval)
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
    /// The other pings go on.
    #[error("a ping panicked: {0}")]
    Panicked(Panicked),
}

impl ProxyWatchTask {
    /// One pass; returns how many servers were compared with the proxy's listing and how many pings were started. If the
    /// proxy cannot be listed, the servers are pinged anyway.
    async fn observe(&mut self) -> Result<usize, WatchError> {
        let Observer { watch } = &self.observer;
        self.servers.refresh(&watch.db).await?;
        let servers = self.servers.all();
        self.pings.retain(&servers);
        if servers.is_empty() {
            return Ok(0);
        }
        let (listing, failure) = match self.observer.list().await {
            Ok(listing) => (listing, None),
            Err(error) => (None, Some(error)),
        };
        let compared = if listing.is_some() { servers.len() } else { 0 };
        let sighted = |server: Arc<Published>| {
            let sighting = listing.as_ref().map(|listing| listing.of(&server));
            (server, sighting)
        };
        let servers: Vec<_> = servers.into_iter().map(sighted).collect();
        drop(listing);
        let (pinged, panicked) = self.pings.start(&self.observer, &servers).await;
        let observer = &self.observer;
        let each = servers.into_iter().map(|(server, sighting)| async move {
            let (generation, sighting) = (server.generation, sighting.as_ref());
            observer.store(&server, &ProxyObservation { generation, sighting, ping: None }).await;
        });
        stream::iter(each).buffer_unordered(STORED_AT_A_TIME).collect::<Vec<()>>().await;
        if let Some(panic) = panicked {
            return Err(WatchError::Panicked(panic));
        }
        failure.map_or(Ok(compared + pinged), |error| Err(error.into()))
    }
}

impl Observer {
    /// Lists the proxy; `None` if there is none or another process lists it in this interval.
    async fn list(&self) -> Result<Option<Listing>, ProxyError> {
        let ProxyWatch { proxy, live, interval, clock, .. } = &*self.watch;
        let Some(proxy) = proxy else { return Ok(None) };
        // Without Redis every process lists.
        if !live.claim_proxy(interval.mul_f64(0.9)).await.unwrap_or(true) {
            return Ok(None);
        }
        match proxy.list().await {
            Ok(listing) => {
                let index = ProxyIndex::of(&listing.servers);
                Ok(Some(Listing {
                    index,
                    sighting: Sighting { listed: true, at: clock.now(), boot_id: listing.boot_id },
                }))
            }
            // `zpack doctor` reports this; later passes cannot change it.
            Err(ProxyError::Unsupported { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What the proxy lists.
struct Listing {
    index: ProxyIndex,
    /// What it means for a server that is registered as it should be.
    sighting: Sighting,
}

impl Listing {
    fn of(&self, server: &Published) -> Sighting {
        let listed = compare_proxy(&server.wanted, &self.index.named(&server.wanted.name)).0 == ProxyVerdict::InSync;
        Sighting { listed, ..self.sighting.clone() }
    }
}
