//! One step of a saga.

use async_trait::async_trait;

use super::context::{StepContext, Stopped};
use super::reach::Reach;

/// Why a step did not finish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepError {
    /// It failed for good; the saga is undone.
    Failed {
        /// A code, snake_case.
        code: &'static str,
        /// The reason, in words for the user.
        message: String,
    },
    /// It was told to stop while it waited.
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

/// Why an undo did not finish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UndoError {
    /// The effect is, or may be, still there. It is tried again later.
    Remains(String),
    /// It was told to stop while it waited.
    Stopped(Stopped),
}

impl From<Stopped> for UndoError {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

/// What happened, in words for the step log, or why the step did not finish.
pub type StepResult = Result<Option<String>, StepError>;

/// A step over the world `W` and the saga's state `S`.
///
/// `run` decides from `state` alone what its effect will be, so that `undo` can find the effect even if `run` never
/// returned; what it learns on the way it saves with [`StepContext::checkpoint`]. `undo` is safe to run on nothing; a
/// step without one changes nothing, or only what the undo of an earlier step removes.
#[async_trait]
pub trait Step<W: Sync, S: Send>: Send + Sync {
    /// Its name, snake_case.
    fn name(&self) -> &'static str;

    /// How far it reaches.
    fn reach(&self) -> Reach;

    /// Has the effect.
    async fn run(&self, world: &W, cx: &StepContext<'_>, state: &mut S) -> StepResult;

    /// Takes the effect back.
    async fn undo(&self, _world: &W, _cx: &StepContext<'_>, _state: &mut S) -> Result<(), UndoError> {
        Ok(())
    }
}

/// The steps of a saga, in order.
pub type Steps<W, S> = [Box<dyn Step<W, S>>];
