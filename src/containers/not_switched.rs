//! Why a container was not switched on or off.

use crate::ports::NodeName;
use crate::saga::Stopped;

/// Why a container is not as it should be.
#[derive(Clone, Debug)]
pub enum NotSwitched {
    /// There is no such container anywhere in the cluster.
    Gone,
    /// The number belongs to a container of somebody else.
    Foreign,
    /// Nobody says what became of it: its node, or the whole cluster, has not answered for too long.
    Away {
        /// Where it was last.
        node: NodeName,
        /// The last error, for the log.
        detail: String,
    },
    /// The hypervisor did not do it in time, or refused.
    Refused {
        /// The last of its words.
        detail: String,
        /// Whether a person is needed.
        needs_operator: bool,
    },
    /// The step was told to stop while it waited.
    Stopped(Stopped),
}

impl From<Stopped> for NotSwitched {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}
