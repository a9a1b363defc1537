//! A server that was deleted, as it was.

use sea_orm::entity::prelude::*;

use crate::kernel::{Hostname, InstanceId, OperationId, Timestamp, UserId, VmId};

/// A server that was deleted, as it was.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "deleted_instances")]
pub struct Model {
    /// The id it had.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: InstanceId,
    /// The number it had; others may have had it before and since.
    pub vmid: VmId,
    /// The host name it had.
    pub hostname: Hostname,
    /// Whose it was.
    pub user_id: UserId,
    /// The operation that made it.
    pub operation_id: OperationId,
    /// The operation that deleted it.
    pub teardown_id: OperationId,
    /// Who asked for that: a user id or `internal`.
    pub deleted_by: String,
    /// JSON of the whole row, its publication included.
    pub snapshot: String,
    /// When it was written.
    pub archived_at: Timestamp,
    /// When the row of the server was removed.
    pub finished_at: Option<Timestamp>,
}

/// No relations: queries join by hand where they need it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
