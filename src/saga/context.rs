//! What a step may do besides its effect: save what it learned, and wait.

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::journal::{Journal, Lost, Record, StepRef};
use super::reach::Reach;

/// The reasons to stop a saga from outside.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// The right to write is lost: stop at once.
    pub lost: CancellationToken,
    /// The user asked to stop: undo what was done.
    pub cancelled: CancellationToken,
    /// The deadline has passed: stop as failed, and undo what was done. An undo stops as incomplete.
    pub overdue: CancellationToken,
    /// The worker stops: hand back at the next clean place.
    pub draining: CancellationToken,
}

impl Stop {
    /// The same for the undo that ends a run: the deadline of the run is not one of its undo.
    pub fn undoing(&self) -> Self {
        Self { overdue: CancellationToken::new(), ..self.clone() }
    }
}

/// A step was told to stop while it waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The right to write is lost.
    Lost,
    /// The user asked to stop.
    Cancelled,
    /// The deadline has passed.
    Overdue,
    /// The worker stops.
    Draining,
}

impl From<Lost> for Stopped {
    fn from(_: Lost) -> Self {
        Self::Lost
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Forward,
    Undo,
}

/// The means a step is given by the engine.
pub struct StepContext<'a> {
    pub(super) journal: &'a dyn Journal,
    pub(super) stop: &'a Stop,
    pub(super) reach: Reach,
    pub(super) direction: Direction,
}

/// The journal of work that keeps its own record.
struct Unrecorded;

#[async_trait]
impl Journal for Unrecorded {
    async fn history(&self) -> Result<Vec<Record>, Lost> {
        Ok(Vec::new())
    }

    async fn start(&self, _: StepRef, _: &Value) -> Result<(), Lost> {
        Ok(())
    }

    async fn checkpoint(&self, _: &Value) -> Result<(), Lost> {
        Ok(())
    }

    async fn done(&self, _: StepRef, _: &Value, _: Option<&str>) -> Result<(), Lost> {
        Ok(())
    }

    async fn fail(&self, _: StepRef, _: &Value, _: &str) -> Result<(), Lost> {
        Ok(())
    }

    async fn undone(&self, _: StepRef, _: &Value) -> Result<(), Lost> {
        Ok(())
    }

    async fn undo_failed(&self, _: StepRef, _: &str) -> Result<(), Lost> {
        Ok(())
    }
}

impl<'a> StepContext<'a> {
    /// The means of a step for work outside a saga that is safe to repeat: it waits as a step does, until `stop` says so.
    pub fn unrecorded(stop: &'a Stop) -> Self {
        Self { journal: &Unrecorded, stop, reach: Reach::Inside, direction: Direction::Forward }
    }
}

impl StepContext<'_> {
    /// Makes `state` durable in the middle of a step, for example the name of a task before it is waited for.
    pub async fn checkpoint(&self, state: &(impl Serialize + Sync)) -> Result<(), Stopped> {
        Ok(self.journal.checkpoint(&to_value(state)).await?)
    }

    /// Waits for `span`, or until there is a reason to stop here. A step that reaches outside is not cut short by a
    /// draining worker, since its effect is under way; an undo is not cut short by the user, but by its own deadline.
    pub async fn wait(&self, span: Duration) -> Result<(), Stopped> {
        let forward = self.direction == Direction::Forward;
        let may_drain = !forward || self.reach == Reach::Inside;
        tokio::select! {
            biased;
            () = self.stop.lost.cancelled() => Err(Stopped::Lost),
            () = self.stop.cancelled.cancelled(), if forward => Err(Stopped::Cancelled),
            () = self.stop.overdue.cancelled() => Err(Stopped::Overdue),
            () = self.stop.draining.cancelled(), if may_drain => Err(Stopped::Draining),
            () = tokio::time::sleep(span) => Ok(()),
        }
    }
}

/// A saga's state as JSON. States are plain data: a map with text keys always serialises.
pub(super) fn to_value(state: &impl Serialize) -> Value {
    serde_json::to_value(state).unwrap_or(Value::Null)
}
