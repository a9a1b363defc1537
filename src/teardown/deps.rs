//! What a teardown works with.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::DatabaseConnection;

use crate::containers::ContainerTimings;
use crate::kernel::Clock;
use crate::ports::Hypervisor;
use crate::publishing::Targets;

/// What a teardown works with.
#[derive(Clone)]
pub struct TeardownDeps {
    /// The database.
    pub db: DatabaseConnection,
    /// The hypervisor.
    pub hypervisor: Arc<dyn Hypervisor>,
    /// The edge.
    pub targets: Targets,
    /// How long to wait for the hypervisor before its container becomes a debt.
    pub timings: ContainerTimings,
    /// How often to try to take the lock of the server.
    pub lock_poll: Duration,
    /// The clock of the process.
    pub clock: Clock,
}
