//! The first answer to a request that carried an `Idempotency-Key`.

use sea_orm::entity::prelude::*;

use crate::kernel::{OperationId, Timestamp};

/// The first answer to a request that carried an `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "idempotency_keys")]
pub struct Model {
    /// Hash of principal, route and key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Hash of the body it came with.
    pub body_hash: String,
    /// HTTP status of the answer.
    pub status: i32,
    /// The body of the answer, as JSON.
    pub response: String,
    /// The operation it began.
    pub operation_id: Option<OperationId>,
    /// When.
    pub created_at: Timestamp,
    /// When the row may be deleted.
    pub expires_at: Timestamp,
}

/// No relations: queries join by hand where they need it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
