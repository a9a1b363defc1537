//! One step of a saga.

use async_trait::async_trait;

use super::context::{StepContext, Stopped};
use super::effect::Effect;
use super::journal::JournalError;

/// The error code of a run whose journal the store refuses.
pub(super) const NOT_JOURNALED: &str = "internal_error";

/// Why a step did not complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepError {
    /// It failed permanently; the saga is undone.
    Failed {
        /// A code, snake_case.
        code: &'static str,
        /// The reason, as text for the user.
        message: String,
    },
    /// It had to stop while it waited.
    Stopped(Stopped),
}

impl StepError {
    /// A failure with `code` and `message`.
    pub fn failed(code: &'static str, message: impl Into<String>) -> Self {
        Self::Failed { code, message: message.into() }
    }
}

impl From<Stopped> for StepError {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

impl From<JournalError> for StepError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::OwnershipLost => Self::Stopped(Stopped::OwnershipLost),
            JournalError::Refused(_) => Self::failed(NOT_JOURNALED, error.to_string()),
        }
    }
}

/// Why an undo did not complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UndoError {
    /// The effect remains, or may remain; the undo is retried later.
    Remains(String),
    /// It had to stop while it waited.
    Stopped(Stopped),
}

impl From<Stopped> for UndoError {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

impl From<JournalError> for UndoError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::OwnershipLost => Self::Stopped(Stopped::OwnershipLost),
            JournalError::Refused(_) => Self::Remains(error.to_string()),
        }
    }
}

/// What happened, as text for the journal, or why the step did not complete.
pub type StepResult = Result<Option<String>, StepError>;

/// A step with access to the world `W` and the saga's state `S`.
///
/// `run` must derive its effect from `state` alone, so that `undo` can find the effect even if `run` never returned; it
/// saves what it learns with [`StepContext::checkpoint`]. A run that a draining worker interrupted in a wait begins again
/// with the state of that moment, so `run` must find an effect that it had before. `undo` must be safe if there is no
/// effect. A step without an `undo` changes nothing, or only what the undo of an earlier step removes.
#[async_trait]
pub trait Step<W: Sync, S: Send>: Send + Sync {
    /// Its name, snake_case.
    fn name(&self) -> &'static str;

    /// Whether it has an external effect.
    fn effect(&self) -> Effect;

    /// Performs the effect.
    async fn run(&self, world: &W, cx: &StepContext<'_>, state: &mut S) -> StepResult;

    /// Undoes the effect.
    async fn undo(&self, _world: &W, _cx: &StepContext<'_>, _state: &mut S) -> Result<(), UndoError> {
        Ok(())
    }
}

/// The steps of a saga, in order.
pub type Steps<W, S> = [Box<dyn Step<W, S>>];
