//! The archived row of a deleted server.

use sea_orm::entity::prelude::*;

use crate::kernel::{Hostname, InstanceId, OperationId, Timestamp, UserId, VmId};

/// The archived row of a deleted server.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "deleted_instances")]
pub struct Model {
    /// The id it had.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: InstanceId,
    /// The VMID it had; other servers may have had it before and since.
    pub vmid: VmId,
    /// The host name it had.
    pub hostname: Hostname,
    /// Its owner.
    pub user_id: UserId,
    /// The operation that created it.
    pub operation_id: OperationId,
    /// The operation that deleted it.
    pub teardown_id: OperationId,
    /// Who requested the deletion: a user id or `internal`.
    pub deleted_by: String,
    /// The whole row as JSON, including its publication.
    pub snapshot: String,
    /// When it was archived.
    pub archived_at: Timestamp,
    /// When the row of the server was removed.
    pub finished_at: Option<Timestamp>,
}

/// No relations: queries join by hand where they need it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
