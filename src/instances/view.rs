//! A server as its owner and an operator see it.

use serde::Serialize;
use utoipa::ToSchema;

use super::api::Observed;
use super::readiness::{Connection, ConnectionReason, ConnectionState};
use super::stored_edge::StoredEdge;
use crate::db::entities::instance::{self, InstanceKind, Lifecycle};
use crate::kernel::text_enum;
use crate::kernel::{InstanceId, OperationId, Timestamp, UserId};
use crate::observe::facts::Observation;
use crate::observe::status::{AgentStatus, HostStatus, ServerStatus};
use crate::ports::AgentState;

text_enum! {
    /// What a server is, in the terms of the Portal.
    pub enum Category {
        /// A game server.
        Game = "GAME",
        /// A dev container.
        Dev = "DEV",
    }
}

impl From<InstanceKind> for Category {
    fn from(kind: InstanceKind) -> Self {
        match kind {
            InstanceKind::Game => Self::Game,
            InstanceKind::Dev => Self::Dev,
        }
    }
}

/// A server as its owner sees it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerView {
    /// Its VMID as text.
    #[schema(example = "5001")]
    id: String,
    /// The name its owner gave it.
    name: String,
    /// `GAME` or `DEV`.
    #[schema(value_type = String, example = "GAME")]
    category: Category,
    /// The game or the runtime.
    #[schema(example = "minecraft")]
    runtime: String,
    /// The variant of the game.
    #[schema(example = "paper")]
    flavor: Option<String>,
    /// The version of game or runtime.
    version: String,
    /// Its host name.
    hostname: String,
    /// Memory limit in MiB.
    #[serde(rename = "memoryMiB")]
    memory_mib: i32,
    /// Number of cores.
    cpu_cores: i32,
    /// `active` or `deleting`.
    #[schema(value_type = String, example = "active")]
    lifecycle: Lifecycle,
    /// When it was created.
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    /// The address players connect to; absent when the server is not to be published.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// Whether players can connect; absent for a server that was not published.
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<ConnectionView>,
    #[serde(flatten)]
    live: LiveView,
}

/// Whether players can connect to a server, and if not, why.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ConnectionView {
    /// `connectable`, `degraded`, `unknown`, `starting`, `unreachable`, `offline` or `failed`.
    #[schema(value_type = String, example = "connectable")]
    state: ConnectionState,
    /// The reasons; empty when players can connect without limits.
    reasons: Vec<ReasonView>,
}

/// A reason for the connection state.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReasonView {
    /// The reason.
    #[schema(value_type = String, example = "server_starting")]
    code: ConnectionReason,
    /// The reason as a sentence.
    message: &'static str,
}

impl From<Connection> for ConnectionView {
    fn from(connection: Connection) -> Self {
        let reasons = connection.reasons.into_iter().map(|code| ReasonView { code, message: code.message() });
        Self { state: connection.state, reasons: reasons.collect() }
    }
}

/// The last observations of a server. A request does not wait for new ones; `observedAt` and `stale` show their age.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LiveView {
    /// `running`, `stopped`, `installing`, `starting`, `stopping`, `crashed`, `error` or `unknown`.
    #[schema(value_type = String, example = "running")]
    status: ServerStatus,
    /// Whether its container is running: `online` or `offline`.
    #[schema(value_type = String, example = "online")]
    host_status: HostStatus,
    /// Whether its agent answers: `online` or `offline`.
    #[schema(value_type = String, example = "online")]
    agent_status: AgentStatus,
    /// The state of its workload as its agent reports it; `unknown` without a report.
    #[schema(value_type = String, example = "running")]
    agent_state: AgentState,
    /// The installation step in progress.
    install_step: Option<String>,
    /// How often its workload has crashed.
    crash_count: u32,
    /// When its agent last answered.
    #[schema(value_type = Option<String>, format = "date-time")]
    last_seen: Option<Timestamp>,
    /// When the newest of these values was observed.
    #[schema(value_type = Option<String>, format = "date-time")]
    observed_at: Option<Timestamp>,
    /// Whether these values are older than they should be.
    stale: bool,
}

impl From<Observation> for LiveView {
    fn from(seen: Observation) -> Self {
        Self {
            status: seen.merged.status,
            host_status: seen.merged.host,
            agent_status: seen.merged.agent,
            agent_state: seen.merged.workload,
            install_step: seen.install_step,
            crash_count: seen.crash_count,
            last_seen: seen.last_seen,
            observed_at: seen.observed_at,
            stale: seen.stale,
        }
    }
}

impl ServerView {
    /// `server` with what is known of it.
    pub fn new(server: instance::Model, Observed { now, seen, .. }: Observed) -> Self {
        let stored = StoredEdge::of(&server);
        Self {
            address: stored.address().map(str::to_owned),
            connection: stored.connection(&seen, now).map(Into::into),
            id: server.vmid.to_string(),
            name: server.name,
            category: server.kind.into(),
            runtime: server.software,
            flavor: server.variant,
            version: server.version,
            hostname: server.hostname.to_string(),
            memory_mib: server.memory_mib,
            cpu_cores: server.cpu_cores,
            lifecycle: server.lifecycle,
            created_at: server.created_at,
            live: seen.into(),
        }
    }
}

/// A server as an operator sees it: what its owner sees, its owner and its node.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InventoryRow {
    /// Its id in the database.
    #[schema(value_type = String)]
    instance_id: InstanceId,
    /// Its owner.
    #[schema(value_type = String)]
    user_id: UserId,
    /// The operation that created it.
    #[schema(value_type = String)]
    operation_id: OperationId,
    /// The node its row names.
    node: String,
    /// The address of its agent.
    agent_address: String,
    #[serde(flatten)]
    server: ServerView,
}

impl InventoryRow {
    /// `server` with what is known of it.
    pub fn new(server: instance::Model, observed: Observed) -> Self {
        Self {
            instance_id: server.id,
            user_id: server.user_id,
            operation_id: server.operation_id,
            node: server.node.clone(),
            agent_address: server.address.clone(),
            server: ServerView::new(server, observed),
        }
    }
}
