//! Something an operation left in the outside world and that must be removed.

use sea_orm::entity::prelude::*;

use crate::kernel::{DebtId, OperationId, Timestamp, VmId, text_enum};

text_enum! {
    /// What was left behind.
    pub enum DebtKind {
        /// A container.
        Container = "container",
        /// A reserved VMID and host name.
        Reservation = "reservation",
        /// A registration with the proxy.
        Velocity = "velocity",
        /// Records at the DNS server of the house.
        Technitium = "technitium",
        /// Records at the public DNS server.
        Cloudflare = "cloudflare",
    }
}

text_enum! {
    /// Where a debt stands.
    pub enum DebtState {
        /// It has to be removed.
        Open = "open",
        /// It was removed.
        Settled = "settled",
        /// An operator decided to leave it.
        Released = "released",
    }
}

/// Something an operation left in the outside world and that must be removed.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "debts")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: DebtId,
    /// The operation that left it, and the nonce it carries.
    pub operation_id: OperationId,
    /// What it is.
    pub kind: DebtKind,
    /// The number of the container.
    pub vmid: Option<VmId>,
    /// Where it was last known.
    pub node: Option<String>,
    /// What and why, in words.
    pub detail: String,
    /// JSON of what is needed to remove it; absent for one that only an operator can judge.
    pub subject: Option<String>,
    /// Where it stands.
    pub state: DebtState,
    /// How often its removal was tried.
    pub attempts: i32,
    /// When it is tried again.
    pub next_attempt_at: Option<Timestamp>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// No relations: queries join by hand where they need it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
