//! What goes into a placement and what comes out.

use std::fmt;

use serde::Serialize;

use crate::kernel::VmId;
use crate::ports::NodeName;

/// What the new container needs.
#[derive(Clone, Copy, Debug)]
pub struct Want {
    /// Memory limit.
    pub memory_mib: u32,
    /// Number of cores.
    pub cores: u32,
}

/// Memory that our own records promise on a node, whether or not the cluster lists the container yet.
#[derive(Clone, Debug)]
pub struct Commitment {
    /// The container.
    pub vmid: VmId,
    /// Where it is or will be.
    pub node: NodeName,
    /// Its memory limit.
    pub memory_mib: u32,
}

/// The rules of placement that an operator sets.
#[derive(Clone, Debug)]
pub struct PlacementPolicy {
    /// The templates that may be cloned; only those of the cluster's listing that are named here count.
    pub templates: Vec<VmId>,
    /// The only node that takes containers, when one is set.
    pub only_node: Option<NodeName>,
    /// How much memory may be promised, in percent of what is left after `host_reserve_mib`.
    pub overcommit_percent: u32,
    /// Memory kept for the node itself.
    pub host_reserve_mib: u32,
    /// What a container counts whose limit neither the cluster nor our records tell.
    pub assumed_container_mib: u32,
}

impl PlacementPolicy {
    /// The usual rules with these templates: half as much again as there is, because few game servers use their limit.
    pub fn with_templates(templates: Vec<VmId>) -> Self {
        Self {
            templates,
            only_node: None,
            overcommit_percent: 150,
            host_reserve_mib: 2048,
            assumed_container_mib: 4096,
        }
    }
}

/// Where the container goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// The node.
    pub node: NodeName,
    /// The template on it to clone.
    pub template: VmId,
}

/// What was decided about every node of the cluster, sorted by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// Where the container goes; nowhere when every node refused.
    pub choice: Option<Choice>,
    /// Every node.
    pub nodes: Vec<NodeVerdict>,
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(choice) = &self.choice {
            return write!(f, "{} by template {}", choice.node, choice.template);
        }
        if self.nodes.is_empty() {
            return f.write_str("the cluster lists no node");
        }
        for (n, verdict) in self.nodes.iter().enumerate() {
            write!(f, "{}{}: {}", if n == 0 { "" } else { "; " }, verdict.node, verdict.outcome)?;
        }
        Ok(())
    }
}

/// What was decided about one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeVerdict {
    /// The node.
    pub node: NodeName,
    /// The decision.
    #[serde(flatten)]
    pub outcome: NodeOutcome,
}

/// Whether a node can take the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum NodeOutcome {
    /// It can.
    Fits {
        /// The template to clone.
        template: VmId,
        /// Whether the template is being cloned or backed up right now, so that a clone has to wait.
        template_busy: bool,
        /// Memory that could still be promised afterwards.
        free_mib: u64,
    },
    /// It cannot, for every one of these reasons.
    Refused {
        /// The reasons.
        reasons: Vec<NodeRefusal>,
    },
}

impl fmt::Display for NodeOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fits { free_mib, .. } => write!(f, "fits, {free_mib} MiB left"),
            Self::Refused { reasons } => {
                let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
                f.write_str(&reasons.join(", "))
            }
        }
    }
}

/// Why a node cannot take a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "reason", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum NodeRefusal {
    /// The cluster does not see it.
    #[error("offline")]
    Offline,
    /// New containers are restricted to another node.
    #[error("new containers go to {only} only")]
    NotSelected {
        /// The node that takes them.
        only: NodeName,
    },
    /// None of the configured templates is on it.
    #[error("no template of ours")]
    NoTemplate,
    /// Its templates carry a lock that does not go away by waiting.
    #[error("template {template} is locked ({lock})")]
    TemplateLocked {
        /// The template.
        template: VmId,
        /// The lock.
        lock: String,
    },
    /// The cluster does not tell how much memory it has.
    #[error("its memory is unknown (the token needs Sys.Audit)")]
    UnknownMemory,
    /// Too much of its memory is promised.
    #[error("{wanted_mib} MiB wanted, {free_mib} of {budget_mib} MiB free")]
    NotEnoughMemory {
        /// What the container needs.
        wanted_mib: u64,
        /// What may still be promised.
        free_mib: u64,
        /// What may be promised altogether.
        budget_mib: u64,
    },
    /// It has fewer processors than the container wants cores.
    #[error("{wanted} cores wanted, it has {cpus}")]
    NotEnoughCores {
        /// What the container needs.
        wanted: u32,
        /// What it has.
        cpus: u32,
    },
}
