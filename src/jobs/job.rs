//! The interface of a job: the code that runs operations of one kind.

use std::time::Duration;

use async_trait::async_trait;

use crate::db::entities::debt::DebtKind;
use crate::db::entities::operation;
use crate::kernel::VmId;

use super::deadlines::Deadlines;
use super::run::context::JobContext;
use super::work::WorkSpec;

/// What happens to an operation whose owner vanished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPolicy {
    /// Its steps are idempotent: the operation is queued again.
    Resume,
    /// It is queued again if no step with an external effect has begun; otherwise it becomes stale and is undone, and
    /// never runs again.
    UndoExternalEffects,
}

/// Something outside that an operation leaves, or may have left, and that has to be removed later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDebt {
    /// Its kind.
    pub kind: DebtKind,
    /// The VMID of the container.
    pub vmid: Option<VmId>,
    /// The node on which it was last observed.
    pub node: Option<String>,
    /// What it is and why it is left, for operators.
    pub detail: String,
}

/// Why an operation failed, as stored in its row and shown to the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFailure {
    /// A code, snake_case.
    pub code: String,
    /// The reason as text.
    pub message: String,
    /// The step that failed.
    pub phase: Option<String>,
}

impl JobFailure {
    /// The failure of an operation whose stored data cannot be parsed, so that nothing was done.
    pub fn unreadable(what: &str, error: &serde_json::Error) -> Self {
        let message = format!("{what} of the operation cannot be read: {error}");
        Self { code: "unreadable_operation".to_owned(), message, phase: None }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEnd {
    /// The work is done.
    Succeeded,
    /// The work failed.
    Failed {
        /// The reason.
        failure: JobFailure,
        /// How the undo of its effects ended.
        undo: UndoEnd,
    },
    /// It was cancelled between two steps.
    Cancelled {
        /// How the undo of its effects ended.
        undo: UndoEnd,
    },
    /// It stopped at a step boundary because the worker is stopping; another worker continues there.
    HandedBack,
    /// It has to run again after this time, at most a year. The start does not count, and until then it holds neither a
    /// slot nor a lease. Allowed only at a step boundary: a step with an external effect must be done or undone.
    Again {
        /// The wait, by the clock of the database.
        after: Duration,
    },
    /// Another owner took over, or the lease expired: nothing may be written any more.
    LeaseLost,
}

/// How an undo ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UndoEnd {
    /// There was no external effect to undo.
    Nothing,
    /// All effects are undone.
    Complete,
    /// An external effect remains; the undo is retried later.
    Incomplete {
        /// What remains and why, for operators.
        reason: String,
        /// The debts to record.
        debts: Vec<NewDebt>,
    },
    /// The worker is stopping or was fenced out: another owner continues.
    Interrupted,
}

/// The code that runs operations of one kind.
#[async_trait]
pub trait Job: Send + Sync {
    /// The kind it runs: [`WorkSpec::of`] its payload.
    fn spec(&self) -> WorkSpec;

    /// What happens to an operation whose owner vanishes.
    fn crash_policy(&self) -> CrashPolicy;

    /// The deadlines of a run and of an undo; see [`Deadlines`]. They must exceed the sum of all waits and timeouts of
    /// the job, because those fail with a more specific error.
    fn deadlines(&self) -> Deadlines;

    /// The debts that `operation` may have left, derived from its row alone.
    fn possible_debts(&self, operation: &operation::Model) -> Vec<NewDebt>;

    /// Runs the operation.
    async fn run(&self, cx: &JobContext) -> JobEnd;

    /// Undoes what an interrupted run left. Idempotent.
    async fn undo(&self, cx: &JobContext) -> UndoEnd;
}
