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

/// The version of the hypervisor; read to check that it responds.
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
    /// Whether the cluster reports it as online.
    pub online: bool,
    /// Total memory; absent when the token may not see it.
    pub memory_bytes: Option<u64>,
    /// Memory in use.
    pub memory_used_bytes: Option<u64>,
    /// Number of processors.
    pub cpus: Option<u32>,
}

/// Whether a container is running, as far as the hypervisor knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerState {
    /// Its monitor process exists; this does not concern the workload.
    Running,
    /// It is off.
    Stopped,
    /// Its node is offline or has not reported yet.
    Unknown,
}

/// One row of the cluster-wide listing. Name and status lag up to ten seconds behind.
#[derive(Clone, Debug, Serialize)]
pub struct ContainerSummary {
    /// Its VMID.
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
    /// The description, which contains our nonce, without trailing white space.
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

/// A network interface of a running container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its MAC address in upper case, such as `02:C5:5D:81:F2:CB`.
    pub mac: String,
    /// Its addresses without link-local ones, IPv4 first.
    pub addresses: Vec<IpAddr>,
}

/// Creates a container from a template.
#[derive(Clone, Debug, Serialize)]
pub struct CloneRequest {
    /// The node of the template, on which the clone is created.
    pub node: NodeName,
    /// The template.
    pub template: VmId,
    /// The VMID of the new container.
    pub vmid: VmId,
    /// Its host name.
    pub hostname: Hostname,
    /// The description, which contains our nonce.
    pub description: String,
    /// The resource pool it joins; required with pool-scoped tokens.
    pub pool: Option<String>,
}

/// The settings of a container that zpack writes. All of them are written; none is taken from the template.
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
    /// The MAC address of its interface, chosen by us so that a repeated write changes nothing.
    pub mac: String,
    /// Labels.
    pub tags: Vec<String>,
    /// Whether it starts with its node.
    pub start_on_boot: bool,
    /// The description, which contains our nonce.
    pub description: String,
}

/// An accepted long-running change; [`Hypervisor::task`] reads its state. The text is opaque.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Task(pub String);

/// The state of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// Running, or queued inside the hypervisor.
    Running,
    /// It ended.
    Ended(TaskEnd),
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskEnd {
    /// It succeeded.
    Succeeded,
    /// It succeeded with this many warnings.
    Warned(u32),
    /// It failed.
    Failed {
        /// What the message means.
        cause: TaskFailure,
        /// The hypervisor's message.
        message: String,
    },
    /// The worker process vanished or its record is gone: the effect may or may not have happened.
    Unknown {
        /// The hypervisor's message.
        message: String,
    },
}

/// Why a task failed, as far as its message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskFailure {
    /// A lock, a worker or the cluster file system was not available in time.
    Unavailable,
    /// A configuration lock was in the way.
    Locked,
    /// The storage is full.
    NoCapacity,
    /// The node has no such container; it may have been moved.
    Missing,
    /// An operator cancelled it.
    Cancelled,
    /// Any other reason.
    Refused,
}

impl Classify for TaskFailure {
    fn failure(&self) -> Failure {
        match self {
            Self::Unavailable => Failure::Transient,
            Self::Locked => Failure::Busy,
            Self::NoCapacity | Self::Cancelled => Failure::NeedsOperator,
            Self::Missing | Self::Refused => Failure::Permanent,
        }
    }
}

/// What has a VMID in the cluster, as far as the token may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// A container, on this node.
    Container(NodeName),
    /// Something else, such as a virtual machine.
    OtherGuest,
    /// Nothing that the token may see.
    Unlisted,
}

/// The answer to a power request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Started {
    /// Accepted; wait for the task.
    Task(Task),
    /// The container is already in the wanted state.
    AlreadyThere,
}

/// Why a request to the hypervisor failed. Every variant names the request as `operation`.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HypervisorError {
    /// No connection, or a gateway that did not forward the request: certainly not executed.
    #[error("{operation}: the hypervisor was not reached: {detail}")]
    Unreachable {
        /// The request, for example `clone 9000 to 5001 on pve1`.
        operation: String,
        /// The cause.
        detail: String,
    },
    /// The hypervisor refused for a temporary reason before doing anything (lock wait, no quorum, no worker).
    #[error("{operation}: the hypervisor could not do it now: {detail}")]
    Unavailable {
        /// The request.
        operation: String,
        /// The hypervisor's message.
        detail: String,
    },
    /// The answer was lost; whether the request was executed is unknown.
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
    /// The VMID is taken.
    #[error("{operation}: {vmid} already exists")]
    AlreadyExists {
        /// The request.
        operation: String,
        /// The VMID.
        vmid: VmId,
    },
    /// No such container on that node; it may have been moved.
    #[error("{operation}: no such container on that node: {detail}")]
    NotFound {
        /// The request.
        operation: String,
        /// The hypervisor's message.
        detail: String,
    },
    /// Credentials are missing, wrong or expired.
    #[error("{operation}: the hypervisor does not accept our token: {detail}")]
    Unauthorized {
        /// The request.
        operation: String,
        /// The hypervisor's message.
        detail: String,
    },
    /// The token lacks a permission.
    #[error("{operation}: not permitted: {detail}")]
    Forbidden {
        /// The request.
        operation: String,
        /// The hypervisor's message, and which permission to add.
        detail: String,
    },
    /// The cluster does not let our token set this tag.
    #[error("{operation}: the tag {tag} may not be set")]
    TagRefused {
        /// The request.
        operation: String,
        /// The tag.
        tag: String,
    },
    /// A parameter was not accepted.
    #[error("{operation}: refused parameters: {}", list(.fields))]
    Invalid {
        /// The request.
        operation: String,
        /// Parameter and message.
        fields: Vec<(String, String)>,
    },
    /// The storage is full.
    #[error("{operation}: no capacity: {detail}")]
    NoCapacity {
        /// The request.
        operation: String,
        /// The hypervisor's message.
        detail: String,
    },
    /// Any other refusal.
    #[error("{operation}: refused: {detail}")]
    Refused {
        /// The request.
        operation: String,
        /// The hypervisor's message.
        detail: String,
    },
    /// The answer cannot be parsed.
    #[error("{operation}: unreadable answer: {detail}")]
    Protocol {
        /// The request.
        operation: String,
        /// Why it cannot be parsed.
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
            Self::Unauthorized { .. } | Self::Forbidden { .. } | Self::TagRefused { .. } | Self::NoCapacity { .. } => {
                Failure::NeedsOperator
            }
        }
    }
}

/// The hypervisor cluster. Writes return when they are accepted; [`Hypervisor::task`] reads how they end. No write is
/// retried here.
#[async_trait]
pub trait Hypervisor: Send + Sync {
    /// The version of the connected node; every valid token may read it.
    async fn version(&self) -> Result<HypervisorVersion, HypervisorError>;

    /// Every node of the cluster.
    async fn nodes(&self) -> Result<Vec<Node>, HypervisorError>;

    /// Every container of the cluster that the token may see, including templates.
    async fn containers(&self) -> Result<Vec<ContainerSummary>, HypervisorError>;

    /// What has `vmid`, by the same listing.
    async fn locate(&self, vmid: VmId) -> Result<Whereabouts, HypervisorError>;

    /// Whether `vmid` is free in the whole cluster, independent of the token's permissions. A hint, not a reservation.
    async fn vmid_is_free(&self, vmid: VmId) -> Result<bool, HypervisorError>;

    /// The stored configuration; [`HypervisorError::NotFound`] when the node has no such container.
    async fn config(&self, node: &NodeName, vmid: VmId) -> Result<ContainerConfig, HypervisorError>;

    /// The written options that take effect only at the container's next start.
    async fn pending(&self, node: &NodeName, vmid: VmId) -> Result<Vec<String>, HypervisorError>;

    /// The power state as the container's node reports it now.
    async fn power(&self, node: &NodeName, vmid: VmId) -> Result<PowerState, HypervisorError>;

    /// The network interfaces of a running container except its loopback, also those that something inside it made; none
    /// while it is off.
    async fn interfaces(&self, node: &NodeName, vmid: VmId) -> Result<Vec<Interface>, HypervisorError>;

    /// Starts cloning a template.
    async fn clone_container(&self, request: &CloneRequest) -> Result<Task, HypervisorError>;

    /// Whether a clone of `template` is running now.
    async fn clone_is_running(&self, node: &NodeName, template: VmId) -> Result<bool, HypervisorError>;

    /// Writes settings; they are stored when it returns.
    async fn configure(&self, node: &NodeName, vmid: VmId, settings: &ContainerSettings)
    -> Result<(), HypervisorError>;

    /// Starts a container.
    async fn start(&self, node: &NodeName, vmid: VmId) -> Result<Started, HypervisorError>;

    /// Stops a container immediately.
    async fn stop(&self, node: &NodeName, vmid: VmId) -> Result<Started, HypervisorError>;

    /// Asks a container to shut down within `timeout_s` seconds.
    async fn shutdown(&self, node: &NodeName, vmid: VmId, timeout_s: u32) -> Result<Started, HypervisorError>;

    /// Destroys a container and its disks, stopping it first.
    async fn destroy(&self, node: &NodeName, vmid: VmId) -> Result<Task, HypervisorError>;

    /// The state of a task. A lost answer is an error and says nothing about the task. A task without a record counts
    /// as running at first, because the record appears shortly after the task was accepted.
    async fn task(&self, task: &Task) -> Result<TaskState, HypervisorError>;

    /// The warnings in the log of a task, at most ten.
    async fn task_warnings(&self, task: &Task) -> Result<Vec<String>, HypervisorError>;

    /// The recorded state of the task with the id `name`; `None` when there is no record. A text that is not a task id
    /// is not looked up.
    async fn recorded_task(&self, name: &str) -> Result<Option<TaskState>, HypervisorError>;
}
