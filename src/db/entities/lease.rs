//! A named lease: its leader and its epoch.

use sea_orm::entity::prelude::*;

use crate::kernel::Timestamp;

/// A named lease: its leader and its epoch.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "leases")]
pub struct Model {
    /// The name of the lease.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// Raised by every new leader; transactions of an older leader are refused.
    pub epoch: i64,
    /// The leader, absent after it has resigned.
    pub holder: Option<String>,
    /// The last heartbeat of the leader, absent after it has resigned.
    pub renewed_at: Option<Timestamp>,
}

/// No relations: queries join by hand where they need it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
