//! The hypervisor: nodes, containers and the tasks that change them (docs/contracts/proxmox.md).

use std::fmt;
use std::net::IpAddr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::kernel::{Classify, Failure, Hostname, VmId};

/// The name of one node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeName(String);

impl NodeName {
    /// Wraps a name as the hypervisor spells it.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Version of the hypervisor, the health probe.
#[derive(Clone, Debug, Serialize)]
pub struct HypervisorVersion {
    /// For example `9.1.5`.
    pub version: String,
}

/// One node and what it has.
#[derive(Clone, Debug, Serialize)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Whether the cluster sees it.
    pub online: bool,
    /// Total memory, absent without the right to see it.
    pub memory_bytes: Option<u64>,
    /// Memory in use.
    pub memory_used_bytes: Option<u64>,
    /// Number of processors.
    pub cpus: Option<u32>,
}

/// Whether a container runs, as far as the hypervisor knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerState {
    /// Its monitor process exists; says nothing about the workload.
    Running,
    /// It is off.
    Stopped,
    /// Its node is away or has not reported yet.
    Unknown,
}

/// One row of the cluster-wide listing. Name and status lag up to ten seconds behind.
#[derive(Clone, Debug, Serialize)]
pub struct ContainerSummary {
    /// Its number.
    pub vmid: VmId,
    /// The node it is on.
    pub node: NodeName,
    /// Its name, absent for a while after creation.
    pub name: Option<String>,
    /// Its power state.
    pub power: PowerState,
    /// Whether it is a template.
    pub template: bool,
    /// The configuration lock on it, for example `create`.
    pub lock: Option<String>,
    /// Configured memory limit in bytes.
    pub memory_bytes: Option<u64>,
}

/// The stored configuration of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerConfig {
    /// Its host name.
    pub hostname: Option<String>,
    /// The free text that carries our ownership nonce, without trailing white space.
    pub description: Option<String>,
    /// The configuration lock on it.
    pub lock: Option<String>,
    /// Memory limit in MiB.
    pub memory_mib: Option<u32>,
    /// Number of cores.
    pub cores: Option<u32>,
    /// The first network interface as a property string.
    pub net0: Option<String>,
    /// Labels.
    pub tags: Vec<String>,
    /// Whether it is a template.
    pub template: bool,
}

/// Make a container from a template.
#[derive(Clone, Debug, Serialize)]
pub struct CloneRequest {
    /// The node the template is on; the clone appears there.
    pub node: NodeName,
    /// The template.
    pub template: VmId,
    /// The number of the new container.
    pub vmid: VmId,
    /// Its host name.
    pub hostname: Hostname,
    /// Free text that carries our ownership nonce.
    pub description: String,
    /// The pool it joins, needed by pool-scoped tokens.
    pub pool: Option<String>,
}

/// Settings of a container that zpack decides. Everything is written, nothing is left to the template.
#[derive(Clone, Debug, Serialize)]
pub struct ContainerSettings {
    /// Its host name.
    pub hostname: Hostname,
    /// Memory limit in MiB.
    pub memory_mib: u32,
    /// Swap limit in MiB.
    pub swap_mib: u32,
    /// Number of cores.
    pub cores: u32,
    /// The network bridge of its interface.
    pub bridge: String,
    /// The hardware address of its interface, chosen by us so that a repeated write changes nothing.
    pub mac: String,
    /// Labels.
    pub tags: Vec<String>,
    /// Whether it starts with its node.
    pub start_on_boot: bool,
    /// Free text that carries our ownership nonce.
    pub description: String,
}

/// An accepted long-running change, to be asked about with [`Hypervisor::task`]. The text is opaque.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Task(pub String);

/// What a task is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// Still at work (or queued inside the hypervisor).
    Running,
    /// It ended.
    Ended(TaskEnd),
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskEnd {
    /// Done.
    Succeeded,
    /// Done, with this many warnings.
    Warned(u32),
    /// It failed. The class says whether the same request may succeed later.
    Failed {
        /// Whether to try again.
        failure: Failure,
        /// The hypervisor's words.
        message: String,
    },
    /// The worker vanished or its record is gone: the effect may or may not have happened.
    Unknown {
        /// The hypervisor's words.
        message: String,
    },
}

/// The answer to a power request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Started {
    /// Accepted; wait for the task.
    Task(Task),
    /// The container is in the wanted state already.
    AlreadyThere,
}

/// Why a request to the hypervisor failed. Every variant names the request as `operation`.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HypervisorError {
    /// No connection, or a gateway that did not forward: surely not executed.
    #[error("{operation}: the hypervisor was not reached: {detail}")]
    Unreachable {
        /// The request, for example `clone 9000 to 5001 on pve1`.
        operation: String,
        /// The cause.
        detail: String,
    },
    /// The hypervisor refused for a passing reason before doing anything (lock wait, no quorum, no worker).
    #[error("{operation}: the hypervisor could not do it now: {detail}")]
    Unavailable {
        /// The request.
        operation: String,
        /// The hypervisor's words.
        detail: String,
    },
    /// The answer was lost: executed or not, nobody knows.
    #[error("{operation}: the outcome is unknown: {detail}")]
    OutcomeUnknown {
        /// The request.
        operation: String,
        /// The cause.
        detail: String,
    },
    /// The container carries a configuration lock.
    #[error("{operation}: locked ({lock})")]
    Locked {
        /// The request.
        operation: String,
        /// The lock, for example `disk`.
        lock: String,
    },
    /// The container number is taken.
    #[error("{operation}: {vmid} already exists")]
    AlreadyExists {
        /// The request.
        operation: String,
        /// The taken number.
        vmid: VmId,
    },
    /// No such container on that node; it may have moved.
    #[error("{operation}: no such container on that node: {detail}")]
    NotFound {
        /// The request.
        operation: String,
        /// The hypervisor's words.
        detail: String,
    },
    /// Credentials are missing, wrong or expired.
    #[error("{operation}: the hypervisor does not accept our token: {detail}")]
    Unauthorized {
        /// The request.
        operation: String,
        /// The hypervisor's words.
        detail: String,
    },
    /// The token may not do this.
    #[error("{operation}: not permitted: {detail}")]
    Forbidden {
        /// The request.
        operation: String,
        /// The hypervisor's words and what to change.
        detail: String,
    },
    /// A parameter was refused.
    #[error("{operation}: refused parameters: {}", list(.fields))]
    Invalid {
        /// The request.
        operation: String,
        /// Parameter and message.
        fields: Vec<(String, String)>,
    },
    /// No room left.
    #[error("{operation}: no capacity: {detail}")]
    NoCapacity {
        /// The request.
        operation: String,
        /// The hypervisor's words.
        detail: String,
    },
    /// Any other refusal.
    #[error("{operation}: refused: {detail}")]
    Refused {
        /// The request.
        operation: String,
        /// The hypervisor's words.
        detail: String,
    },
    /// The answer makes no sense.
    #[error("{operation}: unreadable answer: {detail}")]
    Protocol {
        /// The request.
        operation: String,
        /// What was wrong with it.
        detail: String,
    },
}

fn list(fields: &[(String, String)]) -> String {
    let each: Vec<String> = fields.iter().map(|(name, message)| format!("{name}: {message}")).collect();
    each.join("; ")
}

impl Classify for HypervisorError {
    fn failure(&self) -> Failure {
        match self {
            Self::Unreachable { .. } | Self::Unavailable { .. } => Failure::Transient,
            Self::OutcomeUnknown { .. } | Self::Protocol { .. } => Failure::Ambiguous,
            Self::Locked { .. } => Failure::Busy,
            Self::AlreadyExists { .. } | Self::NotFound { .. } | Self::Invalid { .. } | Self::Refused { .. } => {
                Failure::Permanent
            }
            Self::Unauthorized { .. } | Self::Forbidden { .. } | Self::NoCapacity { .. } => Failure::NeedsOperator,
        }
    }
}

/// The hypervisor cluster. Mutations return when they are accepted; [`Hypervisor::task`] tells how they end.
/// Nothing here retries a mutation.
#[async_trait]
pub trait Hypervisor: Send + Sync {
    /// Version of the connected node; any authenticated token may ask.
    async fn version(&self) -> Result<HypervisorVersion, HypervisorError>;

    /// Every node of the cluster.
    async fn nodes(&self) -> Result<Vec<Node>, HypervisorError>;

    /// Every container of the cluster that the token may see, templates included.
    async fn containers(&self) -> Result<Vec<ContainerSummary>, HypervisorError>;

    /// Whether `vmid` is free in the whole cluster, whatever the token may see. A hint, not a reservation.
    async fn vmid_is_free(&self, vmid: VmId) -> Result<bool, HypervisorError>;

    /// The stored configuration; [`HypervisorError::NotFound`] when the node does not have it.
    async fn config(&self, node: &NodeName, vmid: VmId) -> Result<ContainerConfig, HypervisorError>;

    /// The options that were written but wait for the container's next start, which is when they apply.
    async fn pending(&self, node: &NodeName, vmid: VmId) -> Result<Vec<String>, HypervisorError>;

    /// The power state as the container's node reports it now.
    async fn power(&self, node: &NodeName, vmid: VmId) -> Result<PowerState, HypervisorError>;

    /// The addresses of a running container without loopback and link-local ones; empty while it has none.
    async fn addresses(&self, node: &NodeName, vmid: VmId) -> Result<Vec<IpAddr>, HypervisorError>;

    /// Starts to clone a template.
    async fn clone_container(&self, request: &CloneRequest) -> Result<Task, HypervisorError>;

    /// Whether a clone of `template` is being made right now.
    async fn clone_is_running(&self, node: &NodeName, template: VmId) -> Result<bool, HypervisorError>;

    /// Writes settings; done when it returns.
    async fn configure(&self, node: &NodeName, vmid: VmId, settings: &ContainerSettings)
    -> Result<(), HypervisorError>;

    /// Starts a container.
    async fn start(&self, node: &NodeName, vmid: VmId) -> Result<Started, HypervisorError>;

    /// Stops a container at once.
    async fn stop(&self, node: &NodeName, vmid: VmId) -> Result<Started, HypervisorError>;

    /// Asks a container to shut down within `timeout_s` seconds.
    async fn shutdown(&self, node: &NodeName, vmid: VmId, timeout_s: u32) -> Result<Started, HypervisorError>;

    /// Destroys a container and its disks, stopping it first.
    async fn destroy(&self, node: &NodeName, vmid: VmId) -> Result<Task, HypervisorError>;

    /// How a task is doing. An answer lost on the way is an error and says nothing about the task. One that is not on
    /// record is taken for running at first, because a record comes a moment after the task.
    async fn task(&self, task: &Task) -> Result<TaskState, HypervisorError>;

    /// What is on record of the task that somebody calls `name`; `None` when nothing is. A text that cannot be the name
    /// of a task is not asked for.
    async fn recorded_task(&self, name: &str) -> Result<Option<TaskState>, HypervisorError>;
}
