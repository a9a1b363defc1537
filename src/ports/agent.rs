//! The agent inside a container (docs/contracts/agent.md).

use std::net::IpAddr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize, Serializer};

use crate::kernel::{Classify, Failure, Secret, VmId, text_enum};

/// What the agent has to install and run: the body of `POST /config`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AgentAssignment {
    /// The container's VMID.
    pub vmid: VmId,
    /// Increases with every new configuration of a server; the same generation again changes nothing.
    pub generation: u32,
    /// Memory limit in MiB.
    pub memory_mb: u32,
    /// The game or the runtime.
    #[serde(flatten)]
    pub workload: AgentWorkload,
}

/// The part of the configuration that depends on the kind of server.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "container_type", rename_all = "lowercase")]
pub enum AgentWorkload {
    /// A game server.
    Game {
        /// The game, for example `minecraft`.
        game: String,
        /// The variant, for example `paper`.
        variant: String,
        /// The game's version.
        version: String,
        /// The name of the world.
        world: String,
        /// Ports the game listens on.
        ports: Vec<u16>,
        /// The server file, relative to the artifact catalog.
        artifact_path: String,
        /// The Java runtime, relative to the artifact catalog; absent for games without Java.
        #[serde(skip_serializing_if = "Option::is_none")]
        java_path: Option<String>,
        /// Name of the game's first administrator.
        admin_user: String,
        /// Password of the game's first administrator.
        #[serde(serialize_with = "exposed")]
        admin_pass: Secret,
    },
    /// A dev container.
    Dev {
        /// The runtime, for example `node`.
        runtime: String,
        /// The runtime's version.
        version: String,
    },
}

/// The only place where a secret is serialized: the agent needs this password.
fn exposed<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

text_enum! {
    /// The state an agent reports.
    pub enum AgentState {
        /// Nothing is installed yet.
        Idle = "idle",
        /// An installation is in progress.
        Installing = "installing",
        /// The workload is starting.
        Starting = "starting",
        /// The workload is running.
        Running = "running",
        /// The workload is stopping.
        Stopping = "stopping",
        /// The workload was stopped.
        Stopped = "stopped",
        /// The workload ended unexpectedly.
        Crashed = "crashed",
        /// The agent could not start the workload; its `error` says why.
        Error = "error",
        /// A state that this version of zpack does not know.
        Unknown = "unknown",
    }
}

/// What an agent reports in `GET /status`. Everything but the state may be missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentReport {
    /// Its state.
    pub state: AgentState,
    /// The installation step in progress.
    pub install_step: Option<String>,
    /// Progress of the installation, 0 to 100.
    pub install_progress: Option<u8>,
    /// How often the workload has crashed since the agent started.
    pub crash_count: u32,
    /// The agent's error message.
    pub error: Option<String>,
    /// The configuration it has.
    pub generation: Option<u32>,
}

impl AgentReport {
    /// A report of `state` and nothing else.
    pub const fn of(state: AgentState) -> Self {
        Self { state, install_step: None, install_progress: None, crash_count: 0, error: None, generation: None }
    }
}

/// A change of the workload's power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkloadAction {
    /// Start it.
    Start,
    /// Stop it.
    Stop,
    /// Stop and start it.
    Restart,
}

/// Why a call to an agent failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AgentError {
    /// No connection: the agent is not up or does not exist. Certainly not executed.
    #[error("{operation}: the agent was not reached: {detail}")]
    Unreachable {
        /// The call, for example `POST /config of 5001`.
        operation: String,
        /// The cause.
        detail: String,
    },
    /// The answer was lost or did not come in time.
    #[error("{operation}: no answer from the agent: {detail}")]
    NoAnswer {
        /// The call.
        operation: String,
        /// The cause.
        detail: String,
    },
    /// The agent runs another exclusive job.
    #[error("{operation}: the agent is busy: {detail}")]
    Busy {
        /// The call.
        operation: String,
        /// The agent's message.
        detail: String,
    },
    /// The agent refused the token.
    #[error("{operation}: the agent does not accept our token: {detail}")]
    Unauthorized {
        /// The call.
        operation: String,
        /// The agent's message.
        detail: String,
    },
    /// Not sent, because the agent at this address refused the token shortly before. Nothing was observed of the agent.
    #[error("{operation}: {detail}")]
    KeptBack {
        /// The call.
        operation: String,
        /// When the token will be tried again, and the message of the refusal.
        detail: String,
    },
    /// The agent does not have the route; today's small agent lacks many.
    #[error("{operation}: the agent does not support it")]
    Unsupported {
        /// The call.
        operation: String,
    },
    /// The agent refused or failed.
    #[error("{operation}: the agent answered {status}: {detail}")]
    Refused {
        /// The call.
        operation: String,
        /// The HTTP status.
        status: u16,
        /// The agent's message, cut to a readable length.
        detail: String,
    },
    /// The answer cannot be parsed.
    #[error("{operation}: unreadable answer from the agent: {detail}")]
    Protocol {
        /// The call.
        operation: String,
        /// Why it cannot be parsed.
        detail: String,
    },
}

impl Classify for AgentError {
    fn failure(&self) -> Failure {
        match self {
            Self::Unreachable { .. } | Self::KeptBack { .. } => Failure::Transient,
            Self::NoAnswer { .. } | Self::Protocol { .. } => Failure::Ambiguous,
            Self::Busy { .. } => Failure::Busy,
            Self::Refused { status: 507, .. } => Failure::NeedsOperator,
            Self::Refused { status: 500..=599, .. } => Failure::Ambiguous,
            Self::Refused { .. } | Self::Unsupported { .. } => Failure::Permanent,
            Self::Unauthorized { .. } => Failure::NeedsOperator,
        }
    }
}

/// The calls zpack makes to an agent, which is identified by the address of its container. The adapter retries none of
/// them.
#[async_trait]
pub trait Agent: Send + Sync {
    /// Whether the agent process answers.
    async fn health(&self, at: IpAddr) -> Result<(), AgentError>;

    /// Whether the workload accepts players or visitors. Small agents lack the route: [`AgentError::Unsupported`].
    async fn ready(&self, at: IpAddr) -> Result<bool, AgentError>;

    /// The agent's report.
    async fn status(&self, at: IpAddr) -> Result<AgentReport, AgentError>;

    /// Sends the assignment. Repeating it with the same generation is harmless.
    async fn configure(&self, at: IpAddr, config: &AgentAssignment) -> Result<(), AgentError>;

    /// Changes the power of the workload.
    async fn power(&self, at: IpAddr, action: WorkloadAction) -> Result<(), AgentError>;
}
