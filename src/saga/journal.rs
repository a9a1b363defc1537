//! The journal: which steps have begun, are done, or are undone.

use async_trait::async_trait;
use serde_json::Value;

use super::effect::Effect;

/// The right to write is lost: another owner took over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the right to write the journal is lost")]
pub struct OwnershipLost;

/// A step, as the journal identifies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepRef {
    /// Its position in the saga, from 0.
    pub seq: usize,
    /// Its name.
    pub name: &'static str,
    /// Whether it has an external effect.
    pub effect: Effect,
}

/// The status of a step in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordStatus {
    /// It may have had its effect.
    Open,
    /// It had its effect.
    Done,
    /// Its effect is undone.
    Undone,
}

/// One record of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The position of the step.
    pub seq: usize,
    /// Its status.
    pub status: RecordStatus,
}

/// The journal of one saga. Each call is one durable write; it waits while the store is unavailable and fails only when
/// the right to write is lost.
#[async_trait]
pub trait Journal: Send + Sync {
    /// All records, in the order of the steps.
    async fn history(&self) -> Result<Vec<Record>, OwnershipLost>;

    /// Records that the step begins; called before its effect.
    async fn start(&self, step: StepRef, state: &Value) -> Result<(), OwnershipLost>;

    /// Stores the state in the middle of a step.
    async fn checkpoint(&self, state: &Value) -> Result<(), OwnershipLost>;

    /// Records that the step is done.
    async fn done(&self, step: StepRef, state: &Value, detail: Option<&str>) -> Result<(), OwnershipLost>;

    /// Records that the step failed.
    async fn fail(&self, step: StepRef, state: &Value, detail: &str) -> Result<(), OwnershipLost>;

    /// Records that the step is undone.
    async fn undone(&self, step: StepRef, state: &Value) -> Result<(), OwnershipLost>;

    /// Records that an attempt to undo the step failed.
    async fn undo_failed(&self, step: StepRef, detail: &str) -> Result<(), OwnershipLost>;
}
