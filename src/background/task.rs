//! What a background task is.

use std::error::Error;
use std::fmt;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::schedule::Schedule;

/// Something that is done again and again beside requests.
#[async_trait]
pub trait Task: Send + 'static {
    /// Its name in logs and metrics; one runner has each name once.
    fn name(&self) -> TaskName;

    /// When it has a pass; asked once, when the runner begins.
    fn schedule(&self) -> Schedule;

    /// One pass. Once `stop` fires it begins nothing new and ends soon: the runner waits for a while and then drops it.
    /// What the pass reports is of no interest any more by then.
    async fn pass(&mut self, stop: &CancellationToken) -> Result<Report, Trouble>;
}

#[async_trait]
impl Task for Box<dyn Task> {
    fn name(&self) -> TaskName {
        (**self).name()
    }

    fn schedule(&self) -> Schedule {
        (**self).schedule()
    }

    async fn pass(&mut self, stop: &CancellationToken) -> Result<Report, Trouble> {
        (**self).pass(stop).await
    }
}

/// The name of a task: what it does, and about what where one process does the same about several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskName {
    /// What it does, as in `queue-sweep`: a value of the label `task`.
    pub task: &'static str,
    /// About what, as in `provision`: a value of the label `subject`, empty when there is only one.
    pub subject: &'static str,
}

impl TaskName {
    /// The only task of this name in a process.
    pub const fn of(task: &'static str) -> Self {
        Self { task, subject: "" }
    }

    /// The same task about one of several subjects.
    pub const fn about(self, subject: &'static str) -> Self {
        Self { subject, ..self }
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subject {
            "" => f.write_str(self.task),
            subject => write!(f, "{} of {subject}", self.task),
        }
    }
}

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many things of the task's own kind: servers, debts, records, rows.
    pub done: u64,
}

impl Report {
    /// A pass that did `count` things.
    pub fn done(count: usize) -> Self {
        Self { done: count as u64 }
    }
}

/// Why a pass failed: an error with its causes in one line, for the log.
#[derive(Debug, PartialEq, Eq)]
pub struct Trouble(String);

impl Trouble {
    /// A failure without an error value of its own.
    pub fn of(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl<E: Error> From<E> for Trouble {
    fn from(error: E) -> Self {
        let mut reason = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            let cause_text = cause.to_string();
            // Many errors quote their cause.
            if !reason.ends_with(&cause_text) {
                reason.push_str(": ");
                reason.push_str(&cause_text);
            }
            next = cause.source();
        }
        Self(reason)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
