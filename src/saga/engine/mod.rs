//! Runs a saga and undoes it.

use serde::Serialize;

use super::context::{Direction, StepContext, Stop, Stopped, to_value};
use super::effect::Effect;
use super::journal::{Journal, JournalError, Record, RecordStatus, StepRef};
use super::step::{NOT_JOURNALED, Step, StepError, Steps, UndoError};

/// The error code of a run that exceeded its deadline.
const DEADLINE_EXCEEDED: &str = "deadline_exceeded";
/// The error message of such a run.
const OVERDUE: &str = "it did not end before its deadline";

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SagaEnd {
    /// Every step is done.
    Completed,
    /// A step failed.
    Failed {
        /// The step.
        step: &'static str,
        /// A code, snake_case.
        code: &'static str,
        /// The reason as text.
        message: String,
        /// How the undo of its effects ended.
        undo: UndoResult,
    },
    /// It was cancelled.
    Cancelled {
        /// How the undo of its effects ended.
        undo: UndoResult,
    },
    /// The worker stops; the run can be continued from the journal.
    HandedBack,
    /// Another owner took over.
    OwnershipLost,
}

/// How an undo ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UndoResult {
    /// There was no external effect.
    Nothing,
    /// All effects are undone.
    Complete,
    /// An effect remains, or may remain.
    Incomplete {
        /// The step it belongs to.
        step: &'static str,
        /// Why it could not be undone.
        reason: String,
    },
    /// It was interrupted; another owner continues it.
    Interrupted,
}

/// Runs the steps that are not done according to the journal, and undoes all steps on a failure before the commitment.
pub async fn run<W: Sync, S: Serialize + Send + Sync>(
    steps: &Steps<W, S>,
    world: &W,
    journal: &dyn Journal,
    stop: &Stop,
    state: &mut S,
) -> SagaEnd {
    let halt = forward(steps, world, journal, stop, state).await;
    let undo = match halt {
        Halt::Failed { .. } | Halt::Cancelled if stop.may_undo() => {
            undo(steps, world, journal, &stop.undoing(), state).await
        }
        _ => UndoResult::Nothing,
    };
    halt.end(undo)
}

/// Runs the steps that are not done according to the journal, without an undo: for sagas whose steps are idempotent and
/// have no undo.
pub async fn run_forward<W: Sync, S: Serialize + Send + Sync>(
    steps: &Steps<W, S>,
    world: &W,
    journal: &dyn Journal,
    stop: &Stop,
    state: &mut S,
) -> SagaEnd {
    forward(steps, world, journal, stop, state).await.end(UndoResult::Nothing)
}

/// Where the steps ended.
enum Halt {
    Completed,
    Failed { step: &'static str, code: &'static str, message: String },
    Cancelled,
    Draining,
    OwnershipLost,
}

impl Halt {
    /// Where the steps end when `stopped` before or in `step`.
    fn at(step: &'static str, stopped: Stopped) -> Self {
        match stopped {
            Stopped::OwnershipLost => Self::OwnershipLost,
            Stopped::Cancelled => Self::Cancelled,
            Stopped::Overdue => Self::Failed { step, code: DEADLINE_EXCEEDED, message: OVERDUE.to_owned() },
            Stopped::Draining => Self::Draining,
        }
    }

    /// Where the steps end when the journal of `step` is not written.
    fn unwritten(step: &'static str, error: &JournalError) -> Self {
        match error {
            JournalError::OwnershipLost => Self::OwnershipLost,
            JournalError::Refused(_) => Self::Failed { step, code: NOT_JOURNALED, message: error.to_string() },
        }
    }

    fn end(self, undo: UndoResult) -> SagaEnd {
        match self {
            Self::Completed => SagaEnd::Completed,
            Self::Failed { step, code, message } => SagaEnd::Failed { step, code, message, undo },
            Self::Cancelled => SagaEnd::Cancelled { undo },
            Self::Draining => SagaEnd::HandedBack,
            Self::OwnershipLost => SagaEnd::OwnershipLost,
        }
    }
}

async fn forward<W: Sync, S: Serialize + Send + Sync>(
    steps: &Steps<W, S>,
    world: &W,
    journal: &dyn Journal,
    stop: &Stop,
    state: &mut S,
) -> Halt {
    let history = match journal.history().await {
        Ok(history) => history,
        Err(error) => return Halt::unwritten(steps.first().map_or("", |step| step.name()), &error),
    };
    for (seq, step) in steps.iter().enumerate() {
        if status(&history, seq) == Some(RecordStatus::Done) {
            continue;
        }
        let named = name(seq, step.as_ref());
        if let Some(stopped) = stopped(stop) {
            return Halt::at(named.name, stopped);
        }
        match one_step(step.as_ref(), named, world, journal, stop, state).await {
            Ok(None) => {}
            Ok(Some(halt)) => return halt,
            Err(error) => return Halt::unwritten(named.name, &error),
        }
    }
    Halt::Completed
}

/// Runs one step. Returns where the steps end if this is the last that runs.
async fn one_step<W: Sync, S: Serialize + Send + Sync>(
    step: &dyn Step<W, S>,
    named: StepRef,
    world: &W,
    journal: &dyn Journal,
    stop: &Stop,
    state: &mut S,
) -> Result<Option<Halt>, JournalError> {
    journal.start(named, &to_value(state)).await?;
    let cx = StepContext { journal, stop, direction: Direction::Forward };
    match step.run(world, &cx, state).await {
        Ok(detail) => {
            journal.done(named, &to_value(state), detail.as_deref()).await?;
            Ok(None)
        }
        Err(StepError::Failed { code, message }) => {
            journal.fail(named, &to_value(state), &message).await?;
            Ok(Some(Halt::Failed { step: named.name, code, message }))
        }
        Err(StepError::Stopped(stopped)) => {
            match stopped {
                Stopped::Overdue => journal.fail(named, &to_value(state), OVERDUE).await?,
                Stopped::Draining => journal.checkpoint(&to_value(state)).await?,
                Stopped::OwnershipLost | Stopped::Cancelled => {}
            }
            Ok(Some(Halt::at(named.name, stopped)))
        }
    }
}

/// Undoes, last first, every step that has begun and is not undone according to the journal, including a failed one.
/// Stops at the first effect that remains: earlier effects may be needed to undo it.
pub async fn undo<W: Sync, S: Serialize + Send + Sync>(
    steps: &Steps<W, S>,
    world: &W,
    journal: &dyn Journal,
    stop: &Stop,
    state: &mut S,
) -> UndoResult {
    let history = match journal.history().await {
        Ok(history) => history,
        Err(error) => return unwritten(steps.first().map_or("", |step| step.name()), &error),
    };
    let mut external = false;
    for (seq, step) in steps.iter().enumerate().rev() {
        let named = name(seq, step.as_ref());
        match status(&history, seq) {
            None => continue,
            Some(RecordStatus::Undone) => {
                external |= named.effect == Effect::External;
                continue;
            }
            Some(RecordStatus::Open | RecordStatus::Done) => {}
        }
        if stop.lost.is_cancelled() || stop.draining.is_cancelled() {
            return UndoResult::Interrupted;
        }
        let overdue = || UndoResult::Incomplete { step: named.name, reason: OVERDUE.to_owned() };
        if stop.overdue.is_cancelled() {
            return overdue();
        }
        let cx = StepContext { journal, stop, direction: Direction::Undo };
        match step.undo(world, &cx, state).await {
            Ok(()) => {
                if let Err(error) = journal.undone(named, &to_value(state)).await {
                    return unwritten(named.name, &error);
                }
                external |= named.effect == Effect::External;
            }
            Err(UndoError::Remains(reason)) => {
                if let Err(JournalError::OwnershipLost) = journal.undo_failed(named, &reason).await {
                    return UndoResult::Interrupted;
                }
                return UndoResult::Incomplete { step: named.name, reason };
            }
            Err(UndoError::Stopped(Stopped::Overdue)) => return overdue(),
            Err(UndoError::Stopped(Stopped::OwnershipLost | Stopped::Cancelled | Stopped::Draining)) => {
                return UndoResult::Interrupted;
            }
        }
    }
    if external { UndoResult::Complete } else { UndoResult::Nothing }
}

/// How an undo ends when the journal of `step` is not written.
fn unwritten(step: &'static str, error: &JournalError) -> UndoResult {
    match error {
        JournalError::OwnershipLost => UndoResult::Interrupted,
        JournalError::Refused(_) => UndoResult::Incomplete { step, reason: error.to_string() },
    }
}

fn name<W: Sync, S: Send>(seq: usize, step: &dyn Step<W, S>) -> StepRef {
    StepRef { seq, name: step.name(), effect: step.effect() }
}

fn status(history: &[Record], seq: usize) -> Option<RecordStatus> {
    history.iter().find(|record| record.seq == seq).map(|record| record.status)
}

fn stopped(stop: &Stop) -> Option<Stopped> {
    if stop.lost.is_cancelled() {
        Some(Stopped::OwnershipLost)
    } else if stop.cancelled.is_cancelled() && stop.may_undo() {
        Some(Stopped::Cancelled)
    } else if stop.overdue.is_cancelled() && stop.may_undo() {
        Some(Stopped::Overdue)
    } else if stop.draining.is_cancelled() {
        Some(Stopped::Draining)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
