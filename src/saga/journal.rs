//! The journal: which steps have begun, are done, or are undone.

use async_trait::async_trait;
use serde_json::Value;

use super::effect::Effect;

/// Why the journal was not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// The right to write is lost: another owner took over.
    #[error("the right to write the journal is lost")]
    OwnershipLost,
    /// The store refuses the write and would refuse it again.
    #[error("the journal cannot be written: {0}")]
    Refused(String),
}

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

/// The journal of one saga. Each call is one durable write, which waits while the store is unavailable.
#[async_trait]
pub trait Journal: Send + Sync {
    /// All records, in the order of the steps.
    async fn history(&self) -> Result<Vec<Record>, JournalError>;

    /// Records that the step begins; called before its effect.
    async fn start(&self, step: StepRef, state: &Value) -> Result<(), JournalError>;

    /// Stores the state in the middle of a step.
    async fn checkpoint(&self, state: &Value) -> Result<(), JournalError>;

    /// Records that the step is done.
    async fn done(&self, step: StepRef, state: &Value, detail: Option<&str>) -> Result<(), JournalError>;

    /// Records that the step failed.
    async fn fail(&self, step: StepRef, state: &Value, detail: &str) -> Result<(), JournalError>;

    /// Records that the step is undone.
    async fn undone(&self, step: StepRef, state: &Value) -> Result<(), JournalError>;

    /// Records that an attempt to undo the step failed.
    async fn undo_failed(&self, step: StepRef, detail: &str) -> Result<(), JournalError>;
}
