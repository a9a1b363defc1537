//! What the provisioning saga keeps between its steps; stored with the operation after each step.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::kernel::{Hostname, VmId};
use crate::ports::{NodeName, Task};
use crate::saga::StepError;

/// The state of the saga. The steps set its fields in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provisioning {
    /// The reserved VMID.
    pub vmid: Option<VmId>,
    /// The reserved host name.
    pub hostname: Option<Hostname>,
    /// The public port that players connect to, if its game has no proxy.
    #[serde(default)]
    pub port: Option<u16>,
    /// Its other public ports.
    #[serde(default)]
    pub further_ports: Vec<u16>,
    /// The node the container is created on.
    pub node: Option<NodeName>,
    /// The template it is cloned from.
    pub template: Option<VmId>,
    /// The templates that turned out not to be clonable.
    #[serde(default)]
    pub unusable: Vec<Unusable>,
    /// The MAC address of its interface.
    pub mac: Option<String>,
    /// Whether the hypervisor was asked for a clone and its outcome is not known yet.
    #[serde(default)]
    pub clone_requested: bool,
    /// The task of that clone, once the hypervisor has returned it.
    pub task: Option<Task>,
    /// What the task of the clone warned of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warnings: Option<String>,
    /// The address of its agent.
    pub address: Option<IpAddr>,
    /// The password of the game's first administrator, until it is sent to the agent.
    pub admin_password: Option<String>,
}

/// A template that could not be cloned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unusable {
    /// The template.
    pub template: VmId,
    /// Why.
    pub why: String,
}

impl Provisioning {
    /// VMID and node, once both are chosen.
    pub fn place(&self) -> Option<(VmId, &NodeName)> {
        self.vmid.zip(self.node.as_ref())
    }

    /// All its public ports, the one that players connect to first.
    pub fn public_ports(&self) -> Vec<u16> {
        self.port.iter().chain(&self.further_ports).copied().collect()
    }

    /// The same for a later step, which requires both; likewise the functions below.
    pub(super) fn decided_place(&self) -> Result<(VmId, NodeName), StepError> {
        decided(self.place().map(|(vmid, node)| (vmid, node.clone())), "VMID and node")
    }

    pub(super) fn decided_hostname(&self) -> Result<Hostname, StepError> {
        decided(self.hostname.clone(), "a host name")
    }

    pub(super) fn decided_mac(&self) -> Result<String, StepError> {
        decided(self.mac.clone(), "a MAC address")
    }

    pub(super) fn decided_template(&self) -> Result<VmId, StepError> {
        decided(self.template, "a template")
    }

    pub(super) fn known_address(&self) -> Result<IpAddr, StepError> {
        decided(self.address, "an address")
    }
}

fn decided<T>(value: Option<T>, what: &str) -> Result<T, StepError> {
    value.ok_or_else(|| StepError::failed("internal", format!("a step ran before {what} was set")))
}
