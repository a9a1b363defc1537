//! The context of a step: it saves state, waits, and learns that it has to stop.

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::journal::{Journal, JournalError, Record, StepRef};

/// The signals to stop a saga.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// The right to write is lost: stop immediately.
    pub lost: CancellationToken,
    /// The operation is cancelled: undo its steps.
    pub cancelled: CancellationToken,
    /// The deadline has passed: fail and undo the steps. An undo ends as incomplete.
    pub overdue: CancellationToken,
    /// The worker stops: hand back at the next wait or step boundary.
    pub draining: CancellationToken,
    /// The result belongs to the customer: no cancellation, deadline or failure undoes it any more.
    pub committed: CancellationToken,
}

impl Stop {
    /// The signals for the undo at the end of a run, which the deadline of the run does not stop.
    pub fn undoing(&self) -> Self {
        Self { overdue: CancellationToken::new(), ..self.clone() }
    }

    /// Whether the steps may still be undone.
    pub(super) fn may_undo(&self) -> bool {
        !self.committed.is_cancelled()
    }
}

/// Why a step has to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The right to write is lost.
    OwnershipLost,
    /// The operation is cancelled.
    Cancelled,
    /// The deadline has passed.
    Overdue,
    /// The worker stops.
    Draining,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Forward,
    Undo,
}

/// The context that the engine passes to a step.
pub struct StepContext<'a> {
    pub(super) journal: &'a dyn Journal,
    pub(super) stop: &'a Stop,
    pub(super) direction: Direction,
}

/// A journal that stores nothing.
struct Unrecorded;

#[async_trait]
impl Journal for Unrecorded {
    async fn history(&self) -> Result<Vec<Record>, JournalError> {
        Ok(Vec::new())
    }

    async fn start(&self, _: StepRef, _: &Value) -> Result<(), JournalError> {
        Ok(())
    }

    async fn checkpoint(&self, _: &Value) -> Result<(), JournalError> {
        Ok(())
    }

    async fn done(&self, _: StepRef, _: &Value, _: Option<&str>) -> Result<(), JournalError> {
        Ok(())
    }

    async fn fail(&self, _: StepRef, _: &Value, _: &str) -> Result<(), JournalError> {
        Ok(())
    }

    async fn undone(&self, _: StepRef, _: &Value) -> Result<(), JournalError> {
        Ok(())
    }

    async fn undo_failed(&self, _: StepRef, _: &str) -> Result<(), JournalError> {
        Ok(())
    }
}

impl<'a> StepContext<'a> {
    /// A context for idempotent work outside a saga: only its waits, which `stop` ends, have an effect.
    pub fn unrecorded(stop: &'a Stop) -> Self {
        Self { journal: &Unrecorded, stop, direction: Direction::Forward }
    }
}

impl StepContext<'_> {
    /// Stores `state` in the middle of a step, for example the name of a task before the step waits for it.
    pub async fn checkpoint(&self, state: &(impl Serialize + Sync)) -> Result<(), JournalError> {
        self.journal.checkpoint(&to_value(state)).await
    }

    /// Waits for `span`, or until the step has to stop. A cancellation does not interrupt an undo; its deadline does. A
    /// step that a draining worker interrupts runs again elsewhere, from its state at this moment.
    pub async fn wait(&self, span: Duration) -> Result<(), Stopped> {
        let may_cancel = self.direction == Direction::Forward && self.stop.may_undo();
        let may_expire = self.direction == Direction::Undo || self.stop.may_undo();
        tokio::select! {
            biased;
            () = self.stop.lost.cancelled() => Err(Stopped::OwnershipLost),
            () = self.stop.cancelled.cancelled(), if may_cancel => Err(Stopped::Cancelled),
            () = self.stop.overdue.cancelled(), if may_expire => Err(Stopped::Overdue),
            () = self.stop.draining.cancelled() => Err(Stopped::Draining),
            () = tokio::time::sleep(span) => Ok(()),
        }
    }
}

/// The state of a saga as JSON. States are plain data, whose serialisation cannot fail.
pub(super) fn to_value(state: &impl Serialize) -> Value {
    serde_json::to_value(state).unwrap_or(Value::Null)
}
