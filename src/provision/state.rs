//! What the provisioning saga remembers between its steps; stored with the operation after each of them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::kernel::{Hostname, VmId};
use crate::ports::{NodeName, Task};
use crate::saga::StepError;

/// The saga's state. Fields are set by the steps in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provisioning {
    /// The reserved number.
    pub vmid: Option<VmId>,
    /// The reserved host name.
    pub hostname: Option<Hostname>,
    /// The public port, if its game has no proxy.
    #[serde(default)]
    pub port: Option<u16>,
    /// The node it is made on.
    pub node: Option<NodeName>,
    /// The template it is cloned from.
    pub template: Option<VmId>,
    /// The hardware address of its interface.
    pub mac: Option<String>,
    /// The task that is waited for.
    pub task: Option<Task>,
    /// The address its agent answers on.
    pub address: Option<IpAddr>,
    /// Password of the game's first administrator, until the agent has it.
    pub admin_password: Option<String>,
}

impl Provisioning {
    /// Number and node, once both are decided.
    pub fn place(&self) -> Option<(VmId, &NodeName)> {
        self.vmid.zip(self.node.as_ref())
    }

    /// The same for a step that stands behind the one that decides them, and so on below.
    pub(super) fn decided_place(&self) -> Result<(VmId, NodeName), StepError> {
        decided(self.place().map(|(vmid, node)| (vmid, node.clone())), "number and node")
    }

    pub(super) fn decided_hostname(&self) -> Result<Hostname, StepError> {
        decided(self.hostname.clone(), "a host name")
    }

    pub(super) fn decided_template(&self) -> Result<VmId, StepError> {
        decided(self.template, "a template")
    }

    pub(super) fn known_address(&self) -> Result<IpAddr, StepError> {
        decided(self.address, "an address")
    }
}

fn decided<T>(value: Option<T>, what: &str) -> Result<T, StepError> {
    value.ok_or_else(|| StepError::failed("internal", format!("a step ran before {what} was decided")))
}
