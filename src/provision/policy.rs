//! The policy of provisioning: VMID ranges, network bridges, templates, timings.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::containers::ContainerTimings;
use crate::db::entities::instance::InstanceKind;
use crate::kernel::{VmId, VmIdRange};
use crate::ports::NodeName;

/// The policy of provisioning, from the settings.
#[derive(Clone, Debug)]
pub struct ProvisionPolicy {
    /// VMIDs of game servers.
    pub game_vmids: VmIdRange,
    /// VMIDs of dev containers.
    pub dev_vmids: VmIdRange,
    /// Network bridge of game servers.
    pub game_bridge: String,
    /// Network bridge of dev containers.
    pub dev_bridge: String,
    /// The templates to clone from; the hypervisor's listing shows the node of each.
    pub templates: Vec<VmId>,
    /// The only node that takes new containers, if set.
    pub only_node: Option<NodeName>,
    /// The public ports for games without a proxy.
    pub public_ports: RangeInclusive<u16>,
    /// The resource pool that every container joins.
    pub pool: Option<String>,
    /// Timings.
    pub timings: Timings,
}

impl ProvisionPolicy {
    /// The VMIDs for servers of `kind`.
    pub const fn range(&self, kind: InstanceKind) -> VmIdRange {
        match kind {
            InstanceKind::Game => self.game_vmids,
            InstanceKind::Dev => self.dev_vmids,
        }
    }

    /// The network bridge for `kind`.
    pub fn bridge(&self, kind: InstanceKind) -> &str {
        match kind {
            InstanceKind::Game => &self.game_bridge,
            InstanceKind::Dev => &self.dev_bridge,
        }
    }
}

/// How long provisioning waits. `zpack dev` scales these with the simulated world.
#[derive(Clone, Copy, Debug)]
pub struct Timings {
    /// For the hypervisor.
    pub container: ContainerTimings,
    /// Between two reads of a container's addresses.
    pub address_poll: Duration,
    /// For a container to get an address.
    pub address_timeout: Duration,
    /// Between two polls of the agent.
    pub agent_poll: Duration,
    /// For the agent to report ready.
    pub ready_timeout: Duration,
}
