//! The power of servers: containers through durable operations, workloads through direct calls to their agents.
//!
//! [`PowerJob`] starts, stops and restarts a container on the queue `host`, one operation a server at a time. Before it
//! switches a container off, it stops the workload so that a game saves its world, then shuts the container down, and
//! stops it only if that fails. Elsewhere: the observed power (`observe`).

pub mod http;
mod job;
mod payload;

pub use job::{PowerDeps, PowerJob};
pub use payload::{HostAction, PowerPayload};
