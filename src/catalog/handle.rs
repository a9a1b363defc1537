//! The catalog as the rest of zpack holds it.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::DatabaseConnection;
use tokio_util::sync::CancellationToken;

use super::cache::{Cache, Reading};
use super::document::{Games, Runtimes};
use super::error::CatalogUnavailable;
use crate::kernel::Clock;
use crate::ports::CatalogSource;

/// How often [`Catalog::keep_fresh`] looks whether a copy has grown old.
const LOOK: Duration = Duration::from_secs(1);

/// The games and runtimes that may be provisioned. Cheap to clone; the clones share their copies.
#[derive(Clone)]
pub struct Catalog {
    games: Arc<Cache<Games>>,
    runtimes: Arc<Cache<Runtimes>>,
}

impl Catalog {
    /// A catalog over `source` that asks again after `fresh` and keeps its last good copies in `db`. Nothing is fetched
    /// before it is asked for.
    pub fn new(source: Arc<dyn CatalogSource>, db: DatabaseConnection, clock: Clock, fresh: Duration) -> Self {
        let games = Arc::new(Cache::new(source.clone(), db.clone(), clock.clone(), fresh));
        Self { games, runtimes: Arc::new(Cache::new(source, db, clock, fresh)) }
    }

    /// The games.
    pub async fn games(&self) -> Result<Reading<Games>, CatalogUnavailable> {
        self.games.read().await
    }

    /// The runtimes.
    pub async fn runtimes(&self) -> Result<Reading<Runtimes>, CatalogUnavailable> {
        self.runtimes.read().await
    }

    /// Refreshes both documents whenever they have grown old, until `stop`. Failures are logged by the refresh itself.
    pub async fn keep_fresh(&self, stop: CancellationToken) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = look.tick() => {}
            }
            let both = async { tokio::join!(self.games.keep_fresh(), self.runtimes.keep_fresh()) };
            tokio::select! {
                () = stop.cancelled() => return,
                _ = both => {}
            }
        }
    }
}
