//! Why a container was not switched on or off.

use crate::ports::NodeName;
use crate::saga::Stopped;

/// Why a container is not in the wanted power state.
#[derive(Clone, Debug)]
pub enum NotSwitched {
    /// There is no container with this VMID in the cluster.
    Gone,
    /// The VMID belongs to a container without our nonce.
    Foreign,
    /// The state is unknown: the node, or the whole cluster, has not answered for too long.
    Away {
        /// Where it was observed last.
        node: NodeName,
        /// The last error, for the log.
        detail: String,
    },
    /// The hypervisor did not do it in time, or refused.
    Refused {
        /// The last message of the hypervisor.
        detail: String,
        /// Whether an operator has to act.
        needs_operator: bool,
    },
    /// The step was asked to stop while it waited.
    Stopped(Stopped),
}

impl From<Stopped> for NotSwitched {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}
