//! Jobs without undo: their steps are repeated until they are done, and everything they create is recorded in a row.

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::journal::StepJournal;
use crate::db::entities::operation;
use crate::jobs::{CrashPolicy, Deadlines, Job, JobContext, JobEnd, JobFailure, NewDebt, UndoEnd, Work, WorkSpec};
use crate::kernel::Clock;
use crate::saga::{self, SagaEnd, Steps, Stop};

/// A job whose steps are all idempotent. Its operations are queued again when their worker vanishes, and never undone.
#[async_trait]
pub trait ForwardJob: Send + Sync {
    /// Its payload.
    type Work: Work;

    /// The state of its steps; `()` if they have none.
    type State: Default + Serialize + DeserializeOwned + Send + Sync;

    /// The deadline of a run, see [`Job::deadlines`].
    fn deadline(&self) -> Duration;

    /// Runs `work`, from the `state` that an earlier run left.
    async fn run(&self, cx: &JobContext, work: Self::Work, state: Self::State) -> JobEnd;
}

#[async_trait]
impl<J: ForwardJob> Job for J {
    fn spec(&self) -> WorkSpec {
        WorkSpec::of::<J::Work>()
    }

    fn deadlines(&self) -> Deadlines {
        Deadlines::forward(self.deadline())
    }

    fn crash_policy(&self) -> CrashPolicy {
        CrashPolicy::Resume
    }

    fn possible_debts(&self, _: &operation::Model) -> Vec<NewDebt> {
        Vec::new()
    }

    async fn run(&self, cx: &JobContext) -> JobEnd {
        let work = match serde_json::from_str(&cx.operation.payload) {
            Ok(work) => work,
            Err(error) => return failed(JobFailure::unreadable("the payload", &error)),
        };
        let state = match cx.operation.saga_state.as_deref().map(serde_json::from_str).transpose() {
            Ok(state) => state.unwrap_or_default(),
            Err(error) => return failed(JobFailure::unreadable("the state", &error)),
        };
        ForwardJob::run(self, cx, work, state).await
    }

    async fn undo(&self, _: &JobContext) -> UndoEnd {
        UndoEnd::Nothing
    }
}

/// The end of a run that failed and has nothing to undo.
pub const fn failed(failure: JobFailure) -> JobEnd {
    JobEnd::Failed { failure, undo: UndoEnd::Nothing }
}

/// The signals of a job to stop, for its saga.
pub fn stop_of(cx: &JobContext) -> Stop {
    Stop {
        lost: cx.lost.clone(),
        cancelled: cx.cancelled.clone(),
        overdue: cx.overdue.clone(),
        draining: cx.draining.clone(),
        committed: cx.committed.clone(),
    }
}

/// Runs the steps that are not done yet, without an undo, and returns how that ended.
pub async fn run_forward<W: Sync, S: Serialize + Send + Sync>(
    cx: &JobContext,
    clock: &Clock,
    steps: &Steps<W, S>,
    world: &W,
    mut state: S,
) -> JobEnd {
    let journal = StepJournal::new(cx.clone(), clock.clone());
    match saga::run_forward(steps, world, &journal, &stop_of(cx), &mut state).await {
        SagaEnd::Completed => JobEnd::Succeeded,
        SagaEnd::Failed { step, code, message, .. } => {
            failed(JobFailure { code: code.to_owned(), message, phase: Some(step.to_owned()) })
        }
        SagaEnd::Cancelled { .. } => JobEnd::Cancelled { undo: UndoEnd::Nothing },
        SagaEnd::HandedBack => JobEnd::HandedBack,
        SagaEnd::OwnershipLost => JobEnd::LeaseLost,
    }
}
