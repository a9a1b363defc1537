//! `GET /api/proxmox/ping`, `nodes`, `containers` and `tasks/{upid}`.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use serde::Serialize;
use utoipa::ToSchema;

use crate::accounts::Caller;
use crate::ports::{Hypervisor, HypervisorError, PowerState, TaskEnd, TaskState};
use crate::web::{ApiError, ApiResult, Code};

/// The longest time the cluster may take to answer.
const CLUSTER_TIMEOUT: Duration = Duration::from_secs(10);

/// State shared by the handlers.
#[derive(Clone)]
pub struct ClusterApi {
    /// The cluster.
    pub hypervisor: Arc<dyn Hypervisor>,
}

/// Whether the cluster responds.
#[derive(Debug, Serialize, ToSchema)]
pub struct Pong {
    /// Always true.
    ok: bool,
    /// The version of the node that answered.
    version: String,
}

/// A node.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeView {
    /// Its name.
    name: String,
    /// Whether the cluster reports it as online.
    online: bool,
    /// Total memory in bytes.
    memory_bytes: Option<u64>,
    /// Memory in use in bytes.
    memory_used_bytes: Option<u64>,
}

/// The nodes.
#[derive(Debug, Serialize, ToSchema)]
pub struct Nodes {
    /// The nodes.
    nodes: Vec<NodeView>,
}

/// A container.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerView {
    /// Its VMID.
    vmid: i32,
    /// The node it is on.
    node: String,
    /// Its name.
    name: Option<String>,
    /// `running`, `stopped` or `unknown`.
    #[schema(value_type = String, example = "running")]
    power_state: PowerState,
    /// Whether it is a template.
    template: bool,
    /// The configuration lock on it.
    lock: Option<String>,
}

/// The containers.
#[derive(Debug, Serialize, ToSchema)]
pub struct Containers {
    /// The containers, including templates.
    containers: Vec<ContainerView>,
}

/// A task.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskView {
    /// `running`, `succeeded`, `warned`, `failed` or `unknown`.
    status: &'static str,
    /// The message of the hypervisor.
    message: Option<String>,
}

type Api = web::Data<ClusterApi>;

/// `GET /api/proxmox/ping`
pub async fn ping(_: Caller, api: Api) -> ApiResult<web::Json<Pong>> {
    let version = api.ask(api.hypervisor.version()).await?;
    Ok(web::Json(Pong { ok: true, version: version.version }))
}

/// `GET /api/proxmox/nodes`
pub async fn nodes(_: Caller, api: Api) -> ApiResult<web::Json<Nodes>> {
    let nodes = api.ask(api.hypervisor.nodes()).await?.into_iter().map(|node| NodeView {
        name: node.name.to_string(),
        online: node.online,
        memory_bytes: node.memory_bytes,
        memory_used_bytes: node.memory_used_bytes,
    });
    Ok(web::Json(Nodes { nodes: nodes.collect() }))
}

/// `GET /api/proxmox/containers`
pub async fn containers(_: Caller, api: Api) -> ApiResult<web::Json<Containers>> {
    let containers = api.ask(api.hypervisor.containers()).await?.into_iter().map(|container| ContainerView {
        vmid: container.vmid.get(),
        node: container.node.to_string(),
        name: container.name,
        power_state: container.power,
        template: container.template,
        lock: container.lock,
    });
    Ok(web::Json(Containers { containers: containers.collect() }))
}

/// `GET /api/proxmox/tasks/{upid}`. Only a task without a record is 404: any other refusal says nothing about the task.
pub async fn task(_: Caller, api: Api, upid: web::Path<String>) -> ApiResult<web::Json<TaskView>> {
    let state = api.ask(api.hypervisor.recorded_task(&upid)).await?.ok_or_else(|| ApiError::not_found("task"))?;
    let view = |status, message| TaskView { status, message };
    Ok(web::Json(match state {
        TaskState::Running => view("running", None),
        TaskState::Ended(TaskEnd::Succeeded) => view("succeeded", None),
        TaskState::Ended(TaskEnd::Warned(count)) => view("warned", Some(format!("{count} warnings"))),
        TaskState::Ended(TaskEnd::Failed { message, .. }) => view("failed", Some(message)),
        TaskState::Ended(TaskEnd::Unknown { message }) => view("unknown", Some(message)),
    }))
}

impl ClusterApi {
    async fn ask<T>(&self, question: impl Future<Output = Result<T, HypervisorError>>) -> ApiResult<T> {
        let answer = tokio::time::timeout(CLUSTER_TIMEOUT, question).await.map_err(|_| too_late())?;
        answer.map_err(|error| away(&error))
    }
}

fn too_late() -> ApiError {
    ApiError::new(Code::UpstreamTimeout, format!("The cluster did not answer within {} s.", CLUSTER_TIMEOUT.as_secs()))
}

fn away(error: &HypervisorError) -> ApiError {
    tracing::warn!(%error, "the cluster did not answer an operator");
    ApiError::new(Code::UpstreamFailed, error.to_string())
}
