//! The server deletion workflow: archive the row, unpublish the server, destroy its container, release its names and numbers.
//!
//! [`TeardownJob`] works from what was stored when the server was created and published. Each step is safe to repeat. A server
//! can be deleted while a peer is down: what could not be removed becomes a debt, which the [`Collector`] settles later;
//! until then VMID, host name and port stay reserved. [`OrphanSweep`] removes marked records and registrations that belong
//! to no server and no debt. Not here: the undo of a create that failed (`provision`).

mod archive;
mod collector;
pub mod debts;
mod deps;
pub mod http;
mod job;
mod orphan_registrations;
mod orphan_sweep;
mod payload;
mod release;
mod remove;
mod run;
mod steps;
mod subject;

pub use archive::snapshot;
pub use collector::Collector;
pub use deps::TeardownDeps;
pub use job::TeardownJob;
pub use orphan_sweep::{OrphanSweep, OrphanSweepDeps, OrphanSweepError};
pub use payload::TeardownPayload;
pub use release::{NotReleased, release};
pub use subject::TeardownSubject;
