//! The one way a server goes: archived, taken back from the edge, its container destroyed, its names and numbers released.
//!
//! [`TeardownJob`] works from what was persisted when the server was published and made. Each step is safe to repeat. A
//! peer that is down does not make a server undeletable: what could not be removed becomes a debt, which the
//! [`Collector`] settles later; until then VMID, host name and port stay reserved. [`OrphanSweep`]
//! removes marked records and registrations that no server and no debt accounts for. Not here: the undo of a server that
//! never came into being (`provision`).

mod archive;
mod collector;
pub mod debts;
mod deps;
pub mod http;
mod job;
mod orphan_sweep;
mod payload;
mod release;
mod remove;
mod run;
mod steps;
mod stray;
mod subject;

pub use archive::snapshot;
pub use collector::Collector;
pub use deps::TeardownDeps;
pub use job::TeardownJob;
pub use orphan_sweep::{OrphanSweep, OrphanSweepDeps, OrphanSweepError};
pub use payload::TeardownPayload;
pub use release::{NotReleased, release};
pub use subject::Subject;
