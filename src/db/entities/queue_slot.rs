//! One slot of a queue: the slots bound how many of its operations run at the same time in all workers together.

use sea_orm::entity::prelude::*;

use crate::kernel::OperationId;

/// One slot of a queue: the slots bound how many of its operations run at the same time in all workers together.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "queue_slots")]
pub struct Model {
    /// The queue.
    #[sea_orm(primary_key, auto_increment = false)]
    pub queue: String,
    /// Its number, from 0.
    #[sea_orm(primary_key, auto_increment = false)]
    pub slot: i32,
    /// The operation that holds it.
    pub operation_id: Option<OperationId>,
    /// The owner that took it.
    pub fence: i64,
}

/// No relations: queries join by hand where they need it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
