//! What a role does beside answering requests and running jobs: one [`Runner`] for all of it.
//!
//! A [`Task`] has a name, a [`Schedule`] and a pass. The runner calls the pass when its time has come or when it is
//! nudged, logs an outage once, and keeps the metrics of the task. Work that has a loop of its own, such as the HTTP
//! server or the worker of a queue, is put in its care by [`Runner::keep`].
//!
//! A role is as healthy as all of this together: when a task panics, or anything kept ends before it was asked to, the
//! runner stops the others and returns an error that names it. The process ends with that error and systemd restarts it.
//! Why: `docs/adr/0013-one-runner-for-background-tasks.md`.

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
pub use task::{Report, Task, TaskName, Trouble};
