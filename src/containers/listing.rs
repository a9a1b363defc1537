//! The cluster as a whole: every container of it, or an error.

use crate::ports::{ContainerSummary, Hypervisor, HypervisorError, NodeName};

/// Why it cannot be told what is in the cluster.
#[derive(Debug, thiserror::Error)]
pub enum NotListed {
    /// A node is away, and with it what is known of its containers.
    #[error("the node {node} is away: what is on it cannot be told")]
    NodeAway {
        /// The node.
        node: NodeName,
    },
    /// The hypervisor failed.
    #[error("the cluster cannot be listed: {0}")]
    Hypervisor(#[from] HypervisorError),
}

/// Every container of the cluster; anything less than all of them is an error.
pub async fn list_all(hypervisor: &dyn Hypervisor) -> Result<Vec<ContainerSummary>, NotListed> {
    let (nodes, containers) = tokio::try_join!(hypervisor.nodes(), hypervisor.containers())?;
    match nodes.into_iter().find(|node| !node.online) {
        Some(away) => Err(NotListed::NodeAway { node: away.name }),
        None => Ok(containers),
    }
}
