//! The agent inside a container (docs/contracts/agent.md).

use std::net::IpAddr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize, Serializer};

use crate::kernel::{Classify, Failure, Secret, VmId, text_enum};

/// What the agent shall install and run: the body of `POST /config`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AgentAssignment {
    /// The container's number.
    pub vmid: VmId,
    /// Counts up with every new configuration of one server; a repeated one changes nothing.
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

/// The one place a secret is serialised: the agent has to know this password.
fn exposed<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

text_enum! {
    /// The state an agent reports.
    pub enum AgentState {
        /// Nothing is installed yet.
        Idle = "idle",
        /// An installation is running.
        Installing = "installing",
        /// The workload is starting.
        Starting = "starting",
        /// The workload runs.
        Running = "running",
        /// The workload is stopping.
        Stopping = "stopping",
        /// The workload was stopped.
        Stopped = "stopped",
        /// The workload ended by itself.
        Crashed = "crashed",
        /// The agent gave up; its `error` says why.
        Error = "error",
        /// A state this version of zpack does not know.
        Unknown = "unknown",
    }
}

/// What an agent says of itself, from `GET /status`. Everything but the state may be missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentReport {
    /// Its state.
    pub state: AgentState,
    /// The installation step at work.
    pub install_step: Option<String>,
    /// Progress of the installation, 0 to 100.
    pub install_progress: Option<u8>,
    /// How often the workload ended by itself since the agent started.
    pub crash_count: u32,
    /// The agent's own words about what went wrong.
    pub error: Option<String>,
    /// The configuration it works on.
    pub generation: Option<u32>,
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
    /// No connection: the agent is not up or not there. Surely not executed.
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
    /// The agent is at another exclusive job.
    #[error("{operation}: the agent is busy: {detail}")]
    Busy {
        /// The call.
        operation: String,
        /// The agent's words.
        detail: String,
    },
    /// The agent refused the token.
    #[error("{operation}: the agent does not accept our token: {detail}")]
    Unauthorized {
        /// The call.
        operation: String,
        /// The agent's words.
        detail: String,
    },
    /// Not sent, because what has this address refused the token a moment ago. Nothing was observed of the agent.
    #[error("{operation}: {detail}")]
    KeptBack {
        /// The call.
        operation: String,
        /// When it is tried again, and the words of the refusal.
        detail: String,
    },
    /// The agent does not know the call; today's small agent lacks many.
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
        /// The agent's words, cut to a readable length.
        detail: String,
    },
    /// The answer makes no sense.
    #[error("{operation}: unreadable answer from the agent: {detail}")]
    Protocol {
        /// The call.
        operation: String,
        /// What was wrong with it.
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

/// The calls zpack makes to an agent, which is named by the address of its container. None of them is repeated by the adapter.
#[async_trait]
pub trait Agent: Send + Sync {
    /// Whether the agent process answers.
    async fn health(&self, at: IpAddr) -> Result<(), AgentError>;

    /// Whether the workload accepts players or visitors. Small agents lack it: [`AgentError::Unsupported`].
    async fn ready(&self, at: IpAddr) -> Result<bool, AgentError>;

    /// What the agent says of itself.
    async fn status(&self, at: IpAddr) -> Result<AgentReport, AgentError>;

    /// Hands over what to install. Repeating it with the same generation is harmless.
    async fn configure(&self, at: IpAddr, config: &AgentAssignment) -> Result<(), AgentError>;

    /// Changes the power of the workload.
    async fn power(&self, at: IpAddr, action: WorkloadAction) -> Result<(), AgentError>;
}
