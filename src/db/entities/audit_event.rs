//! One entry of the audit log: a privileged action or a refusal. Never changed.

use sea_orm::entity::prelude::*;

use crate::kernel::{AuditId, Timestamp};

/// One entry of the audit log: a privileged action or a refusal. Never changed.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_events")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: AuditId,
    /// The actor: a user id, `internal` or `operator`.
    pub actor: String,
    /// The action, for example `user.set_role`.
    pub action: String,
    /// The subject of the action.
    pub subject: String,
    /// `done` or `refused`.
    pub outcome: String,
    /// The HTTP request that caused it.
    pub request_id: Option<String>,
    /// Details as JSON.
    pub detail: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// No relations: queries join by hand where they need it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
