//! A resource that only one running operation may use at a time. The lock of an operation that lost its lease is free.

use sea_orm::entity::prelude::*;

use crate::kernel::{OperationId, Timestamp};

/// A resource that only one running operation may use at a time. The lock of an operation that lost its lease is free.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "resource_locks")]
pub struct Model {
    /// What is locked, for example `template:9000`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// The operation that holds it.
    pub operation_id: Option<OperationId>,
    /// The owner that took it.
    pub fence: i64,
    /// When.
    pub taken_at: Timestamp,
}

/// No relations: queries join by hand where they need it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
