//! One step of an operation: the row of the journal, written before the effect of the step.

use sea_orm::entity::prelude::*;

use crate::kernel::{OperationId, Timestamp, text_enum};

text_enum! {
    /// The status of a step.
    pub enum StepStatus {
        /// It may have had its effect.
        Started = "started",
        /// It had its effect.
        Done = "done",
        /// It failed; its effect may remain.
        Failed = "failed",
        /// Its effect was undone.
        Undone = "undone",
        /// Its effect could not be undone yet.
        UndoFailed = "undo_failed",
    }
}

/// One step of an operation: the row of the journal, written before the effect of the step.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "operation_steps")]
pub struct Model {
    /// The operation.
    #[sea_orm(primary_key, auto_increment = false)]
    pub operation_id: OperationId,
    /// Its position, from 0.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i32,
    /// The name of the step.
    pub name: String,
    /// Its status.
    pub status: StepStatus,
    /// Whether it has an external effect.
    pub outside: bool,
    /// The owner that wrote it.
    pub fence: i64,
    /// What happened, as text.
    pub detail: Option<String>,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// No relations: queries join by hand where they need it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
