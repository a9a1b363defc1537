//! An episode and its operation.

use sea_orm::entity::prelude::*;

use crate::kernel::{OperationId, Timestamp};

/// An episode and its operation: it never gets another one, even after that operation has ended.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "episodes")]
pub struct Model {
    /// Hash of kind, subject and name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// The kind of the operation.
    pub kind: String,
    /// The subject of the episode.
    pub subject: String,
    /// Identifies the episode among those of the subject.
    pub name: String,
    /// The operation.
    pub operation_id: OperationId,
    /// When the operation was begun.
    pub begun_at: Timestamp,
}

/// No relations: queries join by hand where they need it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
