//! A VMID and a host name with their current or last holder. Both columns are unique, so each has at most one holder.

use sea_orm::entity::prelude::*;

use crate::kernel::{Hostname, OperationId, Timestamp, VmId, text_enum};

text_enum! {
    /// Whether a reserved number is in use.
    pub enum ReservationState {
        /// Held by an operation or a server.
        Held = "held",
        /// A container that is not ours has this VMID; it is not handed out again until an operator frees it.
        Burned = "burned",
        /// Not held any more. The row stays, so that the VMID is not handed out again soon.
        Released = "released",
    }
}

/// A VMID and a host name with their current or last holder. Both columns are unique, so each has at most one holder.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "reservations")]
pub struct Model {
    /// The VMID.
    #[sea_orm(primary_key, auto_increment = false)]
    pub vmid: VmId,
    /// The host name that is reserved with it.
    pub hostname: Hostname,
    /// Whether it is in use.
    pub state: ReservationState,
    /// The operation that took it.
    pub operation_id: OperationId,
    /// When it was taken.
    pub created_at: Timestamp,
    /// When it was released; `None` while it is held.
    pub released_at: Option<Timestamp>,
    /// The node of the container, once it is chosen.
    pub node: Option<String>,
    /// The memory committed to it on that node, in MiB.
    pub memory_mib: Option<i32>,
}

/// No relations: queries join by hand where they need it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
