//! The dependencies of a worker.

use sea_orm::DatabaseConnection;

use crate::kernel::Clock;

use super::failpoint::Failpoints;
use super::lane::Lane;
use super::registry::Registry;
use super::run::renewer::Connect;
use super::settings::JobSettings;

/// The dependencies of a worker.
pub struct WorkerDeps {
    /// The queue that it receives from, and its connection to Redis.
    pub lane: Lane,
    /// The database.
    pub db: DatabaseConnection,
    /// Opens the renewer's own connection.
    pub connect: Connect,
    /// The jobs it can run.
    pub registry: Registry,
    /// Its timeouts, intervals and limits.
    pub settings: JobSettings,
    /// The clock of the process, for times that users see.
    pub clock: Clock,
    /// Places where tests kill, stop or hold the process.
    pub failpoints: Failpoints,
}
