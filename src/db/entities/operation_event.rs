//! One progress event of an operation, in order.

use sea_orm::entity::prelude::*;

use crate::kernel::{OperationId, Timestamp};

/// One progress event of an operation, in order.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "operation_events")]
pub struct Model {
    /// The operation.
    #[sea_orm(primary_key, auto_increment = false)]
    pub operation_id: OperationId,
    /// Its number, from 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i32,
    /// What happened, for example `step_done`.
    pub kind: String,
    /// JSON of the event.
    pub data: String,
    /// When.
    pub at: Timestamp,
}

/// No relations: queries join by hand where they need it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
