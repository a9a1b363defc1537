//! The step log: what was begun, what is done, what is undone.

use async_trait::async_trait;
use serde_json::Value;

use super::reach::Reach;

/// The right to write is gone: another owner took over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the right to write the step log is lost")]
pub struct Lost;

/// One step as the journal names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepRef {
    /// Its place in the saga, from 0.
    pub seq: usize,
    /// Its name.
    pub name: &'static str,
    /// How far it reaches.
    pub reach: Reach,
}

/// Where a step stands in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordStatus {
    /// It may have had its effect.
    Open,
    /// It had its effect.
    Done,
    /// Its effect was taken back.
    Undone,
}

/// One line of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The place of the step.
    pub seq: usize,
    /// Where it stands.
    pub status: RecordStatus,
}

/// The step log of one saga. Each call is one durable write; it waits for its store and gives up only when the right
/// to write is lost.
#[async_trait]
pub trait Journal: Send + Sync {
    /// All lines, in order of the steps.
    async fn history(&self) -> Result<Vec<Record>, Lost>;

    /// The step begins. Written before its effect.
    async fn start(&self, step: StepRef, state: &Value) -> Result<(), Lost>;

    /// The state as a step knows it by now.
    async fn checkpoint(&self, state: &Value) -> Result<(), Lost>;

    /// The step is done.
    async fn done(&self, step: StepRef, state: &Value, detail: Option<&str>) -> Result<(), Lost>;

    /// The step failed.
    async fn fail(&self, step: StepRef, state: &Value, detail: &str) -> Result<(), Lost>;

    /// The step is undone.
    async fn undone(&self, step: StepRef, state: &Value) -> Result<(), Lost>;

    /// The step could not be undone yet.
    async fn undo_failed(&self, step: StepRef, detail: &str) -> Result<(), Lost>;
}
