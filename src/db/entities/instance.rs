//! One server of a customer.

use sea_orm::entity::prelude::*;

use crate::kernel::{Hostname, InstanceId, OperationId, Timestamp, UserId, VmId, text_enum};

text_enum! {
    /// What a server is.
    pub enum InstanceKind {
        /// A game server.
        Game = "game",
        /// A dev container.
        Dev = "dev",
    }
}

text_enum! {
    /// What zpack wants a server to be.
    pub enum Lifecycle {
        /// In service.
        Active = "active",
        /// Being torn down.
        Deleting = "deleting",
    }
}

/// One server of a customer.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "instances")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: InstanceId,
    /// Its VMID, by which customers address it.
    pub vmid: VmId,
    /// Its host name.
    pub hostname: Hostname,
    /// Its owner.
    pub user_id: UserId,
    /// The operation that created it; its container carries this nonce.
    pub operation_id: OperationId,
    /// Game server or dev container.
    pub kind: InstanceKind,
    /// The name its owner gave it.
    pub name: String,
    /// The game or the runtime.
    pub software: String,
    /// The variant of the game.
    pub variant: Option<String>,
    /// The version of game or runtime.
    pub version: String,
    /// Memory limit.
    pub memory_mib: i32,
    /// Number of cores.
    pub cpu_cores: i32,
    /// The node on which its container was last observed.
    pub node: String,
    /// The address of its agent.
    pub address: String,
    /// What zpack wants it to be.
    pub lifecycle: Lifecycle,
    /// Counts the configurations that were sent to its agent.
    pub generation: i32,
    /// State of its features, such as edge and proxy, as JSON; each feature changes only its own key.
    pub payload: String,
    /// When its edge is due to be reconciled; `None` while nothing is to be done there.
    pub edge_due_at: Option<Timestamp>,
    /// Whether zpack stopped its workload to switch its container off, and starts it with the container.
    pub resume: bool,
    /// Counts changes, for compare-and-set.
    pub revision: i64,
    /// When the row was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// No relations: queries join by hand where they need it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
