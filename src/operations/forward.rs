//! Running the saga of a job whose steps are repeated rather than taken back.

use serde::Serialize;

use super::journal::StepJournal;
use crate::jobs::{JobContext, JobEnd, JobFailure, UnwindEnd};
use crate::kernel::Clock;
use crate::saga::{self, SagaEnd, Steps, Stop};

/// The reasons a job has to stop, for its saga.
pub fn stop_of(cx: &JobContext) -> Stop {
    Stop { lost: cx.lost.clone(), cancelled: cx.cancelled.clone(), draining: cx.draining.clone() }
}

/// Runs the steps that are not done yet, and says how that ended. Nothing is undone.
pub async fn run_forward<W: Sync, S: Serialize + Send + Sync>(
    cx: &JobContext,
    clock: &Clock,
    steps: &Steps<W, S>,
    world: &W,
    state: &mut S,
) -> JobEnd {
    let journal = StepJournal::new(cx.clone(), clock.clone());
    match saga::run_forward(steps, world, &journal, &stop_of(cx), state).await {
        SagaEnd::Completed => JobEnd::Succeeded,
        SagaEnd::Failed { step, code, message, .. } => {
            let failure = JobFailure { code: code.to_owned(), message, phase: Some(step.to_owned()) };
            JobEnd::Failed { failure, undo: UnwindEnd::Nothing }
        }
        SagaEnd::Cancelled { .. } => JobEnd::Cancelled { undo: UnwindEnd::Nothing },
        SagaEnd::HandedBack => JobEnd::HandedBack,
        SagaEnd::Lost => JobEnd::Lost,
    }
}
