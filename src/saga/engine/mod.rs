//! Runs a saga and undoes it.

use serde::Serialize;

use super::context::{Direction, StepContext, Stop, Stopped, to_value};
use super::effect::Effect;
use super::journal::{Journal, OwnershipLost, Record, RecordStatus, StepRef};
use super::step::{Step, StepError, Steps, UndoError};

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

/// Runs the steps that are not done according to the journal, and undoes all steps on a failure.
pub async fn run<W: Sync, S: Serialize + Send + Sync>(
    steps: &Steps<W, S>,
    world: &W,
    journal: &dyn Journal,
    stop: &Stop,
    state: &mut S,
) -> SagaEnd {
    match forward(steps, world, journal, stop, state).await {
        Ok(None) => SagaEnd::Completed,
        Ok(Some(Halt::Failed { step, code, message })) => {
            let undo = undo(steps, world, journal, &stop.undoing(), state).await;
            SagaEnd::Failed { step, code, message, undo }
        }
        Ok(Some(Halt::Cancelled)) => {
            SagaEnd::Cancelled { undo: undo(steps, world, journal, &stop.undoing(), state).await }
        }
        Ok(Some(Halt::Draining)) => SagaEnd::HandedBack,
        Err(OwnershipLost) => SagaEnd::OwnershipLost,
    }
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
    match forward(steps, world, journal, stop, state).await {
        Ok(None) => SagaEnd::Completed,
        Ok(Some(Halt::Failed { step, code, message })) => {
            SagaEnd::Failed { step, code, message, undo: UndoResult::Nothing }
        }
        Ok(Some(Halt::Cancelled)) => SagaEnd::Cancelled { undo: UndoResult::Nothing },
        Ok(Some(Halt::Draining)) => SagaEnd::HandedBack,
        Err(OwnershipLost) => SagaEnd::OwnershipLost,
    }
}

enum Halt {
    Failed { step: &'static str, code: &'static str, message: String },
    Cancelled,
    Draining,
}

impl Halt {
    /// How a run ends that `stopped` before or in `step`.
    fn at(step: &'static str, stopped: Stopped) -> Result<Self, OwnershipLost> {
        match stopped {
            Stopped::OwnershipLost => Err(OwnershipLost),
            Stopped::Cancelled => Ok(Self::Cancelled),
            Stopped::Overdue => Ok(Self::Failed { step, code: DEADLINE_EXCEEDED, message: OVERDUE.to_owned() }),
            Stopped::Draining => Ok(Self::Draining),
        }
    }
}

async fn forward<W: Sync, S: Serialize + Send + Sync>(
    steps: &Steps<W, S>,
    world: &W,
    journal: &dyn Journal,
    stop: &Stop,
    state: &mut S,
) -> Result<Option<Halt>, OwnershipLost> {
    let history = journal.history().await?;
    for (seq, step) in steps.iter().enumerate() {
        if status(&history, seq) == Some(RecordStatus::Done) {
            continue;
        }
        let named = name(seq, step.as_ref());
        if let Some(stopped) = stopped(stop) {
            return Halt::at(named.name, stopped).map(Some);
        }
        journal.start(named, &to_value(state)).await?;
        let cx = StepContext { journal, stop, effect: named.effect, direction: Direction::Forward };
        match step.run(world, &cx, state).await {
            Ok(detail) => journal.done(named, &to_value(state), detail.as_deref()).await?,
            Err(StepError::Failed { code, message }) => {
                journal.fail(named, &to_value(state), &message).await?;
                return Ok(Some(Halt::Failed { step: named.name, code, message }));
            }
            Err(StepError::Stopped(stopped)) => {
                if stopped == Stopped::Overdue {
                    journal.fail(named, &to_value(state), OVERDUE).await?;
                }
                return Halt::at(named.name, stopped).map(Some);
            }
        }
    }
    Ok(None)
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
    let Ok(history) = journal.history().await else { return UndoResult::Interrupted };
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
        let cx = StepContext { journal, stop, effect: named.effect, direction: Direction::Undo };
        match step.undo(world, &cx, state).await {
            Ok(()) => {
                if journal.undone(named, &to_value(state)).await.is_err() {
                    return UndoResult::Interrupted;
                }
                external |= named.effect == Effect::External;
            }
            Err(UndoError::Remains(reason)) => {
                if journal.undo_failed(named, &reason).await.is_err() {
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

fn name<W: Sync, S: Send>(seq: usize, step: &dyn Step<W, S>) -> StepRef {
    StepRef { seq, name: step.name(), effect: step.effect() }
}

fn status(history: &[Record], seq: usize) -> Option<RecordStatus> {
    history.iter().find(|record| record.seq == seq).map(|record| record.status)
}

fn stopped(stop: &Stop) -> Option<Stopped> {
    if stop.lost.is_cancelled() {
        Some(Stopped::OwnershipLost)
    } else if stop.cancelled.is_cancelled() {
        Some(Stopped::Cancelled)
    } else if stop.overdue.is_cancelled() {
        Some(Stopped::Overdue)
    } else if stop.draining.is_cancelled() {
        Some(Stopped::Draining)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
