//! Who holds a VMID and a host name, or held it last. Neither is ever held twice: both columns are unique.

use sea_orm::entity::prelude::*;

use crate::kernel::{Hostname, OperationId, Timestamp, VmId, text_enum};

text_enum! {
    /// Whether a reserved number is in use.
    pub enum ReservationState {
        /// Held by an operation or a server.
        Held = "held",
        /// Somebody else has a container of that number; never handed out again until an operator frees it.
        Burned = "burned",
        /// Nobody holds it any more. The row stays, so that the number is not handed out again soon.
        Released = "released",
    }
}

/// Who holds a VMID and a host name, or held it last. Neither is ever held twice: both columns are unique.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "reservations")]
pub struct Model {
    /// The number.
    #[sea_orm(primary_key, auto_increment = false)]
    pub vmid: VmId,
    /// The host name that goes with it.
    pub hostname: Hostname,
    /// Whether it is in use.
    pub state: ReservationState,
    /// The operation that took it.
    pub operation_id: OperationId,
    /// When it was taken.
    pub created_at: Timestamp,
    /// When it was released, while nobody holds it.
    pub released_at: Option<Timestamp>,
    /// The node the container goes to, once that is decided.
    pub node: Option<String>,
    /// The memory promised to it there, in MiB.
    pub memory_mib: Option<i32>,
}

/// No relations: queries join by hand where they need it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
