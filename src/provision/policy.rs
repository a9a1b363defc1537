//! The house rules of provisioning: ranges, bridges, templates, waits.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::containers::ContainerTimings;
use crate::db::entities::instance::InstanceKind;
use crate::kernel::{VmId, VmIdRange};
use crate::ports::NodeName;

/// What configuration decides about provisioning.
#[derive(Clone, Debug)]
pub struct ProvisionPolicy {
    /// Numbers of game servers.
    pub game_vmids: VmIdRange,
    /// Numbers of dev containers.
    pub dev_vmids: VmIdRange,
    /// Network bridge of game servers.
    pub game_bridge: String,
    /// Network bridge of dev containers.
    pub dev_bridge: String,
    /// The templates to clone from; the hypervisor tells which node each is on.
    pub templates: Vec<VmId>,
    /// The only node that takes containers, when one is set.
    pub only_node: Option<NodeName>,
    /// The public ports of games without a proxy.
    pub public_ports: RangeInclusive<u16>,
    /// The pool every container joins.
    pub pool: Option<String>,
    /// Waits.
    pub timings: Timings,
}

impl ProvisionPolicy {
    /// The numbers that may be handed out for `kind`.
    pub const fn range(&self, kind: InstanceKind) -> VmIdRange {
        match kind {
            InstanceKind::Game => self.game_vmids,
            InstanceKind::Dev => self.dev_vmids,
        }
    }

    /// The bridge for `kind`.
    pub fn bridge(&self, kind: InstanceKind) -> &str {
        match kind {
            InstanceKind::Game => &self.game_bridge,
            InstanceKind::Dev => &self.dev_bridge,
        }
    }
}

/// How long provisioning waits for what. `zpack dev` scales them with the simulated world.
#[derive(Clone, Copy, Debug)]
pub struct Timings {
    /// For the hypervisor.
    pub container: ContainerTimings,
    /// Between two looks for an address.
    pub address_poll: Duration,
    /// For a container to get an address.
    pub address_timeout: Duration,
    /// Between two looks at the agent.
    pub agent_poll: Duration,
    /// For the agent to report ready.
    pub ready_timeout: Duration,
}
