//! Runs a saga forward, and undoes it.

use serde::Serialize;

use super::context::{Direction, StepContext, Stop, Stopped, to_value};
use super::journal::{Journal, Lost, Record, RecordStatus, StepRef};
use super::reach::Reach;
use super::step::{Step, StepError, Steps, UndoError};

/// The code of a run that was stopped because its deadline had passed.
const DEADLINE_EXCEEDED: &str = "deadline_exceeded";
/// The same in words.
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
        /// The reason in words.
        message: String,
        /// What came of the effects.
        undo: Undo,
    },
    /// The user asked to stop.
    Cancelled {
        /// What came of the effects.
        undo: Undo,
    },
    /// The worker stops; the run can go on from the journal.
    HandedBack,
    /// Another owner took over.
    Lost,
}

/// What came of the effects that had to be undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undo {
    /// Nothing had reached outside.
    Nothing,
    /// Everything is taken back.
    Complete,
    /// An effect is, or may be, still there.
    Incomplete {
        /// The step it belongs to.
        step: &'static str,
        /// Why it could not be taken back.
        reason: String,
    },
    /// It was interrupted; another owner goes on.
    Interrupted,
}

/// Runs the steps that the journal does not show as done.
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
            let undo = unwind(steps, world, journal, &stop.undoing(), state).await;
            SagaEnd::Failed { step, code, message, undo }
        }
        Ok(Some(Halt::Cancelled)) => {
            SagaEnd::Cancelled { undo: unwind(steps, world, journal, &stop.undoing(), state).await }
        }
        Ok(Some(Halt::Draining)) => SagaEnd::HandedBack,
        Err(Lost) => SagaEnd::Lost,
    }
}

/// Runs the steps that the journal does not show as done, and leaves what was done: for work whose steps are safe to
/// repeat and have nothing to take back.
pub async fn run_forward<W: Sync, S: Serialize + Send + Sync>(
    steps: &Steps<W, S>,
    world: &W,
    journal: &dyn Journal,
    stop: &Stop,
    state: &mut S,
) -> SagaEnd {
    match forward(steps, world, journal, stop, state).await {
        Ok(None) => SagaEnd::Completed,
        Ok(Some(Halt::Failed { step, code, message })) => SagaEnd::Failed { step, code, message, undo: Undo::Nothing },
        Ok(Some(Halt::Cancelled)) => SagaEnd::Cancelled { undo: Undo::Nothing },
        Ok(Some(Halt::Draining)) => SagaEnd::HandedBack,
        Err(Lost) => SagaEnd::Lost,
    }
}

enum Halt {
    Failed { step: &'static str, code: &'static str, message: String },
    Cancelled,
    Draining,
}

impl Halt {
    /// Why a run that `stopped` before or in `step` ends there.
    fn at(step: &'static str, stopped: Stopped) -> Result<Self, Lost> {
        match stopped {
            Stopped::Lost => Err(Lost),
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
) -> Result<Option<Halt>, Lost> {
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
        let cx = StepContext { journal, stop, reach: named.reach, direction: Direction::Forward };
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

/// Undoes, last first, every step the journal shows as begun and not undone, the failed one included. Stops at the
/// first effect that remains: what lies before it may be needed to take it back.
pub async fn unwind<W: Sync, S: Serialize + Send + Sync>(
    steps: &Steps<W, S>,
    world: &W,
    journal: &dyn Journal,
    stop: &Stop,
    state: &mut S,
) -> Undo {
    let Ok(history) = journal.history().await else { return Undo::Interrupted };
    let mut outside = false;
    for (seq, step) in steps.iter().enumerate().rev() {
        let named = name(seq, step.as_ref());
        match status(&history, seq) {
            None => continue,
            Some(RecordStatus::Undone) => {
                outside |= named.reach == Reach::Outside;
                continue;
            }
            Some(RecordStatus::Open | RecordStatus::Done) => {}
        }
        if stop.lost.is_cancelled() || stop.draining.is_cancelled() {
            return Undo::Interrupted;
        }
        let overdue = || Undo::Incomplete { step: named.name, reason: OVERDUE.to_owned() };
        if stop.overdue.is_cancelled() {
            return overdue();
        }
        let cx = StepContext { journal, stop, reach: named.reach, direction: Direction::Undo };
        match step.undo(world, &cx, state).await {
            Ok(()) => {
                if journal.undone(named, &to_value(state)).await.is_err() {
                    return Undo::Interrupted;
                }
                outside |= named.reach == Reach::Outside;
            }
            Err(UndoError::Remains(reason)) => {
                if journal.undo_failed(named, &reason).await.is_err() {
                    return Undo::Interrupted;
                }
                return Undo::Incomplete { step: named.name, reason };
            }
            Err(UndoError::Stopped(Stopped::Overdue)) => return overdue(),
            Err(UndoError::Stopped(Stopped::Lost | Stopped::Cancelled | Stopped::Draining)) => {
                return Undo::Interrupted;
            }
        }
    }
    if outside { Undo::Complete } else { Undo::Nothing }
}

fn name<W: Sync, S: Send>(seq: usize, step: &dyn Step<W, S>) -> StepRef {
    StepRef { seq, name: step.name(), reach: step.reach() }
}

fn status(history: &[Record], seq: usize) -> Option<RecordStatus> {
    history.iter().find(|record| record.seq == seq).map(|record| record.status)
}

fn stopped(stop: &Stop) -> Option<Stopped> {
    if stop.lost.is_cancelled() {
        Some(Stopped::Lost)
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
