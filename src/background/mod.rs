//! What a role does beside answering requests and running jobs: one [`Runner`] for all of its background tasks.
//!
//! A [`Task`] has a name, a [`Schedule`] and a pass. The runner calls the pass when it is due or when the task is
//! nudged, logs each outage once, and records the metrics of the task. Work that has its own loop, such as the HTTP
//! server or the worker of a queue, is added with [`Runner::supervise`].
//!
//! When a task panics, or supervised work ends before it was asked to, the runner stops the others and returns an error
//! that names the task. The process exits with that error and systemd restarts it. Why:
//! `docs/adr/0013-one-runner-for-background-tasks.md`.

mod driver;
mod ended;
mod nudge;
mod runner;
mod schedule;
mod task;
#[cfg(test)]
mod tests;

pub use ended::TaskEnded;
pub use nudge::Nudge;
pub use runner::{MOST_TASKS, Runner};
pub use schedule::{First, Schedule};
pub use task::{PassError, Report, Task, TaskName};
