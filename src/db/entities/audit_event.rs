//! One privileged act or refusal. Never changed.

use sea_orm::entity::prelude::*;

use crate::kernel::{AuditId, Timestamp};

/// One privileged act or refusal. Never changed.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_events")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: AuditId,
    /// Who: a user id, `internal` or `operator`.
    pub actor: String,
    /// What, for example `user.set_role`.
    pub action: String,
    /// On what.
    pub subject: String,
    /// `done` or `refused`.
    pub outcome: String,
    /// The request it came with.
    pub request_id: Option<String>,
    /// JSON of what matters about it.
    pub detail: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// No relations: queries join by hand where they need it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
