//! What power operations need.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::DatabaseConnection;

use crate::containers::ContainerTimings;
use crate::kernel::Clock;
use crate::ports::{Agent, Hypervisor};

/// Dependencies of power operations.
pub struct PowerDeps {
    /// The database.
    pub db: DatabaseConnection,
    /// The hypervisor.
    pub hypervisor: Arc<dyn Hypervisor>,
    /// The agents.
    pub agent: Arc<dyn Agent>,
    /// How long to wait for the hypervisor.
    pub timings: ContainerTimings,
    /// How long a game may take to save its world, and after that its container to shut down.
    pub grace: Duration,
    /// How long to wait until the agent of a started container has started the workload again.
    pub agent_timeout: Duration,
    /// The clock of the process.
    pub clock: Clock,
}
