//! A complete listing of the cluster's containers, or an error.

use crate::ports::{ContainerSummary, Hypervisor, HypervisorError, NodeName};

/// Why there is no complete listing.
#[derive(Debug, thiserror::Error)]
pub enum NotListed {
    /// A node is offline, so its containers are not listed reliably.
    #[error("node {node} is offline, so its containers cannot be listed")]
    NodeAway {
        /// The node.
        node: NodeName,
    },
    /// The hypervisor failed.
    #[error("the cluster cannot be listed: {0}")]
    Hypervisor(#[from] HypervisorError),
}

/// Every container of the cluster; an incomplete listing is an error.
pub async fn list_all(hypervisor: &dyn Hypervisor) -> Result<Vec<ContainerSummary>, NotListed> {
    let (nodes, containers) = tokio::try_join!(hypervisor.nodes(), hypervisor.containers())?;
    match nodes.into_iter().find(|node| !node.online) {
        Some(away) => Err(NotListed::NodeAway { node: away.name }),
        None => Ok(containers),
    }
}
