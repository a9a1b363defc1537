//! What an order needs of the hypervisor, looked at before the first order.

use async_trait::async_trait;

use super::hypervisor::{HypervisorError, NodeName};
use crate::kernel::VmId;

/// What orders will ask for.
#[derive(Clone, Debug)]
pub struct OrderNeeds {
    /// The templates that are cloned.
    pub templates: Vec<VmId>,
    /// A VMID of each range for new containers.
    pub vmids: Vec<VmId>,
    /// The only node for new containers; `None` when every node may take them.
    pub only_node: Option<NodeName>,
    /// The pool that new containers join.
    pub pool: Option<String>,
    /// The network bridges of new containers.
    pub bridges: Vec<String>,
}

/// What kind of thing is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingKind {
    /// A right of the token.
    Right,
    /// A template.
    Template,
    /// The pool.
    Pool,
    /// A storage on a node.
    Storage,
    /// A network bridge on a node.
    Bridge,
    /// The quorum of the cluster.
    Quorum,
}

/// Something that an order needs and would not find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Its kind.
    pub kind: MissingKind,
    /// What it is.
    pub what: String,
    /// The command or the action that provides it.
    pub remedy: String,
}

/// Looks at what orders need. It changes nothing.
#[async_trait]
pub trait Preflight: Send + Sync {
    /// What orders with these needs would not find. What the token may not look at is not reported.
    async fn missing(&self, needs: &OrderNeeds) -> Result<Vec<Missing>, HypervisorError>;
}
