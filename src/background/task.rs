//! The interface of a background task.

use std::error::Error;
use std::fmt;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::schedule::Schedule;

/// Work that a role repeats in the background.
#[async_trait]
pub trait Task: Send + 'static {
    /// Its name in logs and metrics; unique within one runner.
    fn name(&self) -> TaskName;

    /// When its passes are due; read once, when the runner starts.
    fn schedule(&self) -> Schedule;

    /// Runs one pass. Once `stop` fires, the pass must begin nothing new and end soon: the runner drops it after the
    /// drain timeout. The result of a pass is ignored after `stop` has fired.
    async fn pass(&mut self, stop: &CancellationToken) -> Result<Report, PassError>;
}

#[async_trait]
impl Task for Box<dyn Task> {
    fn name(&self) -> TaskName {
        (**self).name()
    }

    fn schedule(&self) -> Schedule {
        (**self).schedule()
    }

    async fn pass(&mut self, stop: &CancellationToken) -> Result<Report, PassError> {
        (**self).pass(stop).await
    }
}

/// The name of a task, with its subject when one process runs the same task for several subjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskName {
    /// What the task does, such as `queue-sweep`: a value of the label `task`.
    pub task: &'static str,
    /// Its subject, such as `provision`: a value of the label `subject`, empty when there is only one.
    pub subject: &'static str,
}

impl TaskName {
    /// The name of a task that a process runs once.
    pub const fn of(task: &'static str) -> Self {
        Self { task, subject: "" }
    }

    /// The name of the same task for one of several subjects.
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

/// The result of a pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The number of items the pass handled: servers, debts, records, rows.
    pub done: u64,
}

impl Report {
    /// A pass that handled `count` items.
    pub fn done(count: usize) -> Self {
        Self { done: count as u64 }
    }
}

/// Why a pass failed: an error and its causes in one line, for the log.
#[derive(Debug, PartialEq, Eq)]
pub struct PassError(String);

impl PassError {
    /// A failure that has no error value.
    pub fn of(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl<E: Error> From<E> for PassError {
    fn from(error: E) -> Self {
        let mut reason = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            let cause_text = cause.to_string();
            // Many errors include the text of their cause.
            if !reason.ends_with(&cause_text) {
                reason.push_str(": ");
                reason.push_str(&cause_text);
            }
            next = cause.source();
        }
        Self(reason)
    }
}

impl fmt::Display for PassError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
