//! The power of servers: containers through durable operations, workloads through direct calls to their agents.
//!
//! [`PowerJob`] starts, stops and restarts a container on the queue `host`, one operation a server at a time. Before it
//! switches a container off, it stops the workload so that a game saves its world, then shuts the container down, and
//! stops it only if that fails. The row of the server records that zpack stopped the workload, and the next start of the
//! container starts it again; a workload that its owner stopped stays stopped (`workload.rs`). Elsewhere: the observed
//! power (`observe`).

mod deps;
pub mod http;
mod job;
mod payload;
mod workload;

pub use deps::PowerDeps;
pub use job::PowerJob;
pub use payload::{HostAction, PowerPayload};
