//! The power of servers: containers as durable operations, workloads at once through their agents.
//!
//! [`PowerJob`] starts, stops and restarts a container on the queue `host`, one operation a server at a time. A stop lets
//! the game save its world first, asks the container to end, and ends it only then. Not here: what is observed of the
//! power (`instances`).

pub mod http;
mod job;
mod payload;

pub use job::{PowerDeps, PowerJob};
pub use payload::{HostAction, PowerPayload};
