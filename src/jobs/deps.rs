//! What a worker needs.

use sea_orm::DatabaseConnection;

use crate::kernel::Clock;

use super::failpoint::Failpoints;
use super::lane::Lane;
use super::registry::Registry;
use super::run::renewer::Connect;
use super::settings::JobSettings;

/// What a worker needs.
pub struct WorkerDeps {
    /// Where it receives its work.
    pub lane: Lane,
    /// The database.
    pub db: DatabaseConnection,
    /// Opens the renewer's own connection.
    pub connect: Connect,
    /// The jobs it knows.
    pub registry: Registry,
    /// Its times and limits.
    pub settings: JobSettings,
    /// The clock of the process, for times that are shown.
    pub clock: Clock,
    /// Places where tests kill, stop or hold the process.
    pub failpoints: Failpoints,
}
