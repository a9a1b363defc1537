//! One record of the archive: what was removed from the tables of the present after its retention.

use sea_orm::entity::prelude::*;

use crate::kernel::{Timestamp, text_enum};

text_enum! {
    /// Where a record comes from.
    pub enum Origin {
        /// An operation with its steps, events and debts.
        Operation = "operation",
        /// An entry of the audit log.
        AuditEvent = "audit_event",
        /// A deleted server.
        DeletedInstance = "deleted_instance",
    }
}

/// One record of the archive.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "archived_records")]
pub struct Model {
    /// Where it comes from.
    #[sea_orm(primary_key, auto_increment = false)]
    pub origin: Origin,
    /// The id it had there.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Its rows as JSON: for each table, the rows with all their columns.
    pub body: String,
    /// When it ended or happened.
    pub at: Timestamp,
    /// When it was archived.
    pub archived_at: Timestamp,
}

/// No relations: queries join by hand where they need it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
