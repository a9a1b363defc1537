//! The handle of the catalog that other modules use.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sea_orm::DatabaseConnection;
use tokio_util::sync::CancellationToken;

use super::cache::{Cache, Reading};
use super::document::{Games, Runtimes};
use super::error::CatalogUnavailable;
use crate::background::{PassError, Report, Schedule, Task, TaskName};
use crate::kernel::Clock;
use crate::ports::CatalogSource;

/// How often [`CatalogRefresh`] checks whether a copy is stale.
const CHECK_PERIOD: Duration = Duration::from_secs(1);

/// The games and runtimes that may be provisioned. Cheap to clone; clones share their copies.
#[derive(Clone)]
pub struct Catalog {
    games: Arc<Cache<Games>>,
    runtimes: Arc<Cache<Runtimes>>,
}

impl Catalog {
    /// A catalog over `source` that refreshes after `fresh` and stores its last good copies in `db`. Nothing is read
    /// before it is requested.
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
}

/// Keeps both documents fresh, so that readers find a copy.
pub struct CatalogRefresh(pub Catalog);

#[async_trait]
impl Task for CatalogRefresh {
    fn name(&self) -> TaskName {
        TaskName::of("catalog-refresh")
    }

    fn schedule(&self) -> Schedule {
        Schedule::every(CHECK_PERIOD)
    }

    /// Checks whether a copy is stale, which needs no I/O, and refreshes it if so.
    async fn pass(&mut self, stop: &CancellationToken) -> Result<Report, PassError> {
        let Catalog { games, runtimes } = &self.0;
        let both = async { tokio::join!(games.keep_fresh(), runtimes.keep_fresh()) };
        let Some((games, runtimes)) = stop.run_until_cancelled(both).await else { return Ok(Report::default()) };
        games.and(runtimes)?;
        Ok(Report::default())
    }
}
