//! What a feature gives to the runtime: the code that runs one kind of work.

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
    /// Its steps are safe to repeat: it is queued again.
    Resume,
    /// Queued again while no step reached outside; after that it becomes stale and is undone, never repeated.
    UnwindOutsideEffects,
}

/// Something an operation may have left in the outside world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// What it is.
    pub kind: DebtKind,
    /// The number of the container.
    pub vmid: Option<VmId>,
    /// Where it was last known.
    pub node: Option<String>,
    /// What and why, in words.
    pub detail: String,
}

/// Why an operation failed, for its row and for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFailure {
    /// A code, snake_case.
    pub code: String,
    /// The reason in words.
    pub message: String,
    /// The step that failed.
    pub phase: Option<String>,
}

impl JobFailure {
    /// What is stored of the operation cannot be read, so that nothing was done.
    pub fn unreadable(what: &str, error: &serde_json::Error) -> Self {
        let message = format!("{what} of the operation cannot be read: {error}");
        Self { code: "unreadable_operation".to_owned(), message, phase: None }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEnd {
    /// It did what was asked.
    Succeeded,
    /// It could not.
    Failed {
        /// Why.
        failure: JobFailure,
        /// Whether its effects are gone.
        undo: UnwindEnd,
    },
    /// The user stopped it between two steps.
    Cancelled {
        /// Whether its effects are gone.
        undo: UnwindEnd,
    },
    /// It stopped at a clean boundary because the worker is stopping; another goes on there.
    HandedBack,
    /// It is not over: it runs again after this time, a year at most. The start does not count, and until then it holds
    /// neither a slot nor a lease. Only at a clean boundary: a step that reached outside must be done or undone.
    Again {
        /// How long it waits, by the clock of the database.
        after: Duration,
    },
    /// Another owner took over, or the lease ran out: nothing may be written any more.
    Lost,
}

/// How undoing ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnwindEnd {
    /// There was nothing to undo outside.
    Nothing,
    /// Everything is undone.
    Complete,
    /// Something is still there; it is tried again later.
    Incomplete {
        /// What, in words.
        reason: String,
        /// What it is.
        leftovers: Vec<Leftover>,
    },
    /// The worker stops or was fenced out: another owner goes on.
    Interrupted,
}

/// One kind of work.
#[async_trait]
pub trait Job: Send + Sync {
    /// What it runs: [`WorkSpec::of`] its payload.
    fn spec(&self) -> WorkSpec;

    /// What happens when its owner vanishes.
    fn crash_policy(&self) -> CrashPolicy;

    /// How long a run and an undo may take. They are asked to stop then, and soon count as abandoned: see
    /// [`Deadlines`]. More than the sum of all waits and timeouts in it, which fail in a way that says more.
    fn deadlines(&self) -> Deadlines;

    /// What `operation` may have left in the outside world, judged by its row alone.
    fn leftovers(&self, operation: &operation::Model) -> Vec<Leftover>;

    /// Does the work.
    async fn run(&self, cx: &JobContext) -> JobEnd;

    /// Removes what an interrupted run left. Safe to repeat.
    async fn unwind(&self, cx: &JobContext) -> UnwindEnd;
}
