//! What `zpack serve` does besides answering: it reads the stores into gauges and removes rows whose time is over. Any
//! number of processes may do so at once.

mod gauges;
mod retention;

pub use gauges::{read_database, read_redis};
pub use retention::{Purged, purge};

use sea_orm::DatabaseConnection;
use tokio_util::sync::CancellationToken;

use crate::jobs::Lists;
use crate::kernel::Clock;
use crate::telemetry::StoreMetrics;

/// What the upkeep works with.
pub(super) struct Upkeep {
    pub(super) db: DatabaseConnection,
    pub(super) lists: Lists,
    pub(super) clock: Clock,
    pub(super) metrics: StoreMetrics,
}

impl Upkeep {
    /// Goes on until `stop` fires.
    pub(super) async fn run(self, stop: CancellationToken) {
        tokio::join!(gauges::keep(&self, &stop), retention::keep(&self, &stop));
    }
}
