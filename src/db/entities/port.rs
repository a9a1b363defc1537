//! A public port with its current or last holder. The column is unique, so a port has at most one holder.

use sea_orm::entity::prelude::*;

use crate::kernel::{OperationId, Timestamp, text_enum};

text_enum! {
    /// Whether a public port is in use.
    pub enum PortState {
        /// Held by an operation or a server.
        Held = "held",
        /// Not held any more. The row stays, so that the port is not handed out again soon.
        Released = "released",
    }
}

/// A public port with its current or last holder. The column is unique, so a port has at most one holder.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ports")]
pub struct Model {
    /// The port, 1 to 65535.
    #[sea_orm(primary_key, auto_increment = false)]
    pub port: i32,
    /// The operation that took it, which also created its server.
    pub operation_id: OperationId,
    /// Whether it is in use.
    pub state: PortState,
    /// When it was taken.
    pub created_at: Timestamp,
    /// When it was released; `None` while it is held.
    pub released_at: Option<Timestamp>,
}

/// No relations: queries join by hand where they need it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
