//! Input and result of a placement.

use std::collections::{BTreeMap, BTreeSet};
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

/// Memory that our own records commit on a node, whether or not the cluster lists the container yet.
#[derive(Clone, Debug)]
pub struct Commitment {
    /// The container.
    pub vmid: VmId,
    /// The node it is or will be on.
    pub node: NodeName,
    /// Its memory limit.
    pub memory_mib: u32,
}

/// The policy of placement, from the settings.
#[derive(Clone, Debug)]
pub struct PlacementPolicy {
    /// The templates that may be cloned; only those that the cluster lists count.
    pub templates: Vec<VmId>,
    /// The only node that takes new containers, if set.
    pub only_node: Option<NodeName>,
    /// Templates that cannot be cloned now, with the reason.
    pub unusable: BTreeMap<VmId, String>,
    /// Templates that are chosen after all others, because a clone of them failed lately.
    pub avoided: BTreeSet<VmId>,
    /// How much memory may be committed, in percent of what remains after `host_reserve_mib`.
    pub overcommit_percent: u32,
    /// Memory kept for the node itself.
    pub host_reserve_mib: u32,
    /// The limit that is assumed for a container when neither the cluster nor our records show one.
    pub assumed_container_mib: u32,
}

impl PlacementPolicy {
    /// The default policy with these templates: 50 % overcommit, because few game servers use their limit.
    pub fn with_templates(templates: Vec<VmId>) -> Self {
        Self {
            templates,
            only_node: None,
            unusable: BTreeMap::new(),
            avoided: BTreeSet::new(),
            overcommit_percent: 150,
            host_reserve_mib: 2048,
            assumed_container_mib: 4096,
        }
    }
}

/// Where the container is created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// The node.
    pub node: NodeName,
    /// The template on it to clone.
    pub template: VmId,
}

/// The verdict on every node of the cluster, sorted by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// The choice; `None` when every node was refused.
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

/// The verdict on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeVerdict {
    /// The node's name.
    pub node: NodeName,
    /// The verdict.
    #[serde(flatten)]
    pub outcome: NodeOutcome,
}

/// Whether a node can take the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum NodeOutcome {
    /// It can take the container.
    Fits {
        /// The template to clone.
        template: VmId,
        /// Whether a clone of the template failed lately.
        template_avoided: bool,
        /// Whether the template is being cloned or backed up right now, so that a clone has to wait.
        template_busy: bool,
        /// Memory that could still be committed afterwards.
        free_mib: u64,
    },
    /// It cannot take the container.
    Refused {
        /// All reasons.
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
    /// It is offline.
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
    /// Its templates have a lock that is not removed after a while.
    #[error("template {template} is locked ({lock})")]
    TemplateLocked {
        /// The template.
        template: VmId,
        /// The lock.
        lock: String,
    },
    /// Its templates cannot be cloned.
    #[error("template {template} cannot be cloned: {why}")]
    TemplateUnusable {
        /// The template.
        template: VmId,
        /// Why.
        why: String,
    },
    /// The cluster does not report its memory.
    #[error("its memory is unknown (the token needs Sys.Audit)")]
    UnknownMemory,
    /// Too much of its memory is committed.
    #[error("{wanted_mib} MiB wanted, {free_mib} of {budget_mib} MiB free")]
    NotEnoughMemory {
        /// What the container needs.
        wanted_mib: u64,
        /// What may still be committed.
        free_mib: u64,
        /// What may be committed altogether.
        budget_mib: u64,
    },
    /// It has fewer processors than the container needs cores.
    #[error("{wanted} cores wanted, it has {cpus}")]
    NotEnoughCores {
        /// What the container needs.
        wanted: u32,
        /// What it has.
        cpus: u32,
    },
}
