//! What an owner may do now. No row means active.

use sea_orm::entity::prelude::*;

use crate::kernel::{Timestamp, UserId, text_enum};

text_enum! {
    /// The enforcement state of an owner (docs/contracts/stripe.md 3).
    pub enum StandingState {
        /// All invoices are paid.
        Active = "active",
        /// A payment failed; only new servers are blocked.
        Warning = "warning",
        /// The last reminder was sent.
        FinalWarning = "final_warning",
        /// Backups are blocked too.
        BackupBlocked = "backup_blocked",
        /// Servers are shut down.
        Suspended = "suspended",
        /// Data is retained for a while.
        Retained = "retained",
        /// An operator will delete it.
        PendingDeletion = "pending_deletion",
        /// Paid again; nothing is blocked.
        Restored = "restored",
    }
}

/// What an owner may do now. No row means active.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "standings")]
pub struct Model {
    /// The owner.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: UserId,
    /// The enforcement state.
    pub state: StandingState,
    /// An operator has put the account on hold, regardless of payments.
    pub manual_hold: bool,
    /// The reason, as text for the owner.
    pub reason: Option<String>,
    /// When the state began.
    pub since: Timestamp,
    /// Counts changes, for compare-and-set.
    pub version: i64,
    /// When the row last changed.
    pub updated_at: Timestamp,
}

/// No relations: queries join by hand where they need it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
