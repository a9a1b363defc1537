//! `DELETE /api/servers/{id}`, `DELETE /api/containers/{vmid}`, `GET /api/containers/orphans` and `GET /api/admin/debts`.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use futures_util::{StreamExt, TryStreamExt, stream};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::payload::TeardownPayload;
use super::subject::TeardownSubject;
use crate::accounts::{Admin, Caller, Customer};
use crate::audit::{self, AuditOutcome};
use crate::containers::{NotListed, list_all, nonce_of};
use crate::db;
use crate::db::entities::debt::{self, DebtKind, DebtState};
use crate::db::entities::operation::{self, OperationState, UndoState};
use crate::db::entities::reservation;
use crate::instances::OwnedServer;
use crate::kernel::{DebtId, OperationId, Timestamp, UserId, VmId};
use crate::operations::{Acceptor, Order, Requester};
use crate::ports::{ContainerSummary, Hypervisor, HypervisorError, NodeName};
use crate::servers::{self, vmids};
use crate::standing::{self, Action, Decision, gate};
use crate::web::{ApiError, ApiResult, Code, Query};

/// How many containers are read for their nonce at the same time.
const LOOKS_AT_A_TIME: usize = 8;

/// Why a container without a server cannot be removed.
enum NotRemovable {
    /// It must not be removed, for this reason.
    Kept(String),
    /// Whether it may cannot be found out, or there is no such container.
    Api(ApiError),
}

impl From<ApiError> for NotRemovable {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

/// What the handlers work with.
#[derive(Clone)]
pub struct TeardownApi {
    /// Accepts operations.
    pub acceptor: Acceptor,
    /// The cluster, for containers without a server.
    pub hypervisor: Arc<dyn Hypervisor>,
}

/// `DELETE /api/servers/{id}`
pub async fn delete_server(
    OwnedServer(server): OwnedServer,
    Customer(account): Customer,
    api: web::Data<TeardownApi>,
) -> ApiResult<HttpResponse> {
    let user = &account.user;
    let standing = standing::store::find(&api.acceptor.db, user.id).await?;
    match gate(Action::DeleteServer, &standing, user.role) {
        Decision::Allow => {}
        Decision::Override(denial) => {
            api.note(user.id.to_string(), "gate_override", server.vmid, AuditOutcome::Done, denial.code.as_str())
                .await?;
        }
        Decision::Deny(denial) => {
            api.note(user.id.to_string(), "server.delete", server.vmid, AuditOutcome::Refused, denial.code.as_str())
                .await?;
            return Err(denial.into());
        }
    }
    api.begin(&(&account).into(), server.vmid, Some(server.user_id), None).await
}

/// `DELETE /api/containers/{vmid}`
pub async fn delete_container(
    caller: Caller,
    vmid: web::Path<String>,
    api: web::Data<TeardownApi>,
) -> ApiResult<HttpResponse> {
    let vmid: VmId = vmid.parse().map_err(|_| ApiError::not_found("container"))?;
    let by = Requester::try_from(&caller)?;
    let (owner, orphan) = match servers::store::find(&api.acceptor.db, vmid).await? {
        Some(row) => (Some(row.user_id), None),
        None => match api.orphan(vmid).await {
            Ok(orphan) => (None, Some(orphan)),
            Err(NotRemovable::Api(error)) => return Err(error),
            Err(NotRemovable::Kept(why)) => {
                api.note(by.name, "container.delete", vmid, AuditOutcome::Refused, &why).await?;
                let detail = format!("Container {vmid} is not removed: {why}.");
                return Err(ApiError::new(Code::StateConflict, detail));
            }
        },
    };
    api.begin(&by, vmid, owner, orphan).await
}

/// A container without a server.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Orphan {
    /// Its VMID.
    #[schema(value_type = i32)]
    vmid: VmId,
    /// The node it is on.
    node: String,
    /// The operation that created it, by its nonce.
    #[schema(value_type = String)]
    operation_id: OperationId,
    /// Whether it can be deleted.
    removable: bool,
    /// The reason why it can or cannot.
    evidence: String,
}

/// A server whose container the cluster does not have.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MissingContainer {
    /// The id of the server.
    server_id: String,
    /// The node it was last observed on.
    node: String,
}

/// Differences between the cluster and the servers, from complete listings of both.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Orphans {
    /// Containers with a nonce of ours that belong to no server.
    containers: Vec<Orphan>,
    /// Servers whose container is missing.
    servers: Vec<MissingContainer>,
}

/// `GET /api/containers/orphans`
pub async fn orphans(_: Caller, api: web::Data<TeardownApi>) -> ApiResult<web::Json<Orphans>> {
    let listed = api.listing().await?;
    let rows = servers::store::list_places(&api.acceptor.db).await?;
    let servers = rows.iter().filter(|(vmid, _)| !listed.iter().any(|container| container.vmid == *vmid));
    let servers =
        servers.map(|(vmid, node)| MissingContainer { server_id: vmid.to_string(), node: node.clone() }).collect();
    let ownerless: Vec<(VmId, NodeName)> = listed
        .iter()
        .filter(|container| !container.template && !rows.iter().any(|(vmid, _)| *vmid == container.vmid))
        .map(|container| (container.vmid, container.node.clone()))
        .collect();
    let looks = ownerless.into_iter().map(|(vmid, node)| {
        let api = api.clone();
        async move {
            let Some(nonce) = api.nonce(vmid, &node).await? else { return Ok(None) };
            let why = api.why_not(vmid, nonce).await?;
            let (removable, evidence) = match why {
                None => (true, format!("{nonce} created it and has ended; it belongs to no server")),
                Some(why) => (false, why),
            };
            Ok::<_, ApiError>(Some(Orphan { vmid, node: node.to_string(), operation_id: nonce, removable, evidence }))
        }
    });
    let looks: Vec<_> = looks.collect();
    let found: Vec<Option<Orphan>> = stream::iter(looks).buffered(LOOKS_AT_A_TIME).try_collect().await?;
    Ok(web::Json(Orphans { containers: found.into_iter().flatten().collect(), servers }))
}

/// Something that has to be removed later.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DebtView {
    /// Its id.
    #[schema(value_type = String)]
    id: DebtId,
    /// The operation that left it.
    #[schema(value_type = String)]
    operation_id: OperationId,
    /// What it is: `container`, `reservation`, `velocity`, `technitium` or `cloudflare`.
    #[schema(value_type = String, example = "cloudflare")]
    kind: DebtKind,
    /// The server it concerns.
    server_id: Option<String>,
    /// `open`, `settled` or `released`.
    #[schema(value_type = String, example = "open")]
    state: DebtState,
    /// What it is, and why it remains.
    detail: String,
    /// How often its removal was attempted.
    attempts: i32,
    /// Why the last attempt failed.
    last_error: Option<String>,
    /// When it is retried; null when it waits for an operator.
    #[schema(value_type = Option<String>, format = "date-time")]
    next_attempt_at: Option<Timestamp>,
    /// When it was recorded.
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
}

/// A page of debts, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct DebtPage {
    /// The debts.
    debts: Vec<DebtView>,
    /// The cursor of the next page; null at the end.
    next: Option<String>,
}

/// `GET /api/admin/debts`
pub async fn debts(_: Admin, query: Query, api: web::Data<TeardownApi>) -> ApiResult<web::Json<DebtPage>> {
    let page = query.page::<DebtId>()?;
    let known = debt::Entity::find().filter(debt::Column::Kind.is_in(DebtKind::all()));
    let mut rows = known.order_by_desc(debt::Column::Id).limit(page.rows_to_read());
    if let Some(state) = query.get::<DebtState>("state")? {
        rows = rows.filter(debt::Column::State.eq(state));
    }
    if let Some(after) = page.after {
        rows = rows.filter(debt::Column::Id.lt(after));
    }
    let mut rows = db::readable(rows, &api.acceptor.db).await?;
    let next = page.cut(&mut rows, |row| row.id);
    let view = |row: debt::Model| DebtView {
        id: row.id,
        operation_id: row.operation_id,
        kind: row.kind,
        server_id: row.vmid.map(|vmid| vmid.to_string()),
        state: row.state,
        detail: row.detail,
        attempts: row.attempts,
        last_error: row.last_error,
        next_attempt_at: row.next_attempt_at,
        created_at: row.created_at,
    };
    Ok(web::Json(DebtPage { debts: rows.into_iter().map(view).collect(), next }))
}

impl TeardownApi {
    /// Every container of the cluster; a partial listing is an error.
    async fn listing(&self) -> ApiResult<Vec<ContainerSummary>> {
        list_all(self.hypervisor.as_ref()).await.map_err(|error| match error {
            NotListed::NodeAway { node } => ApiError::new(
                Code::Unavailable,
                format!("The node {node} is offline, so its containers cannot be listed."),
            ),
            NotListed::Hypervisor(error) => unreadable(error),
        })
    }

    /// The operation that created a container, by its nonce.
    async fn nonce(&self, vmid: VmId, node: &NodeName) -> ApiResult<Option<OperationId>> {
        match self.hypervisor.config(node, vmid).await {
            Ok(config) => Ok(nonce_of(&config)),
            Err(HypervisorError::NotFound { .. } | HypervisorError::Forbidden { .. }) => Ok(None),
            Err(error) => Err(unreadable(error)),
        }
    }

    /// Why the container `vmid` that `nonce` created must not be removed; `None` when it may.
    async fn why_not(&self, vmid: VmId, nonce: OperationId) -> ApiResult<Option<String>> {
        let maker = operation::Entity::find_by_id(nonce).one(&self.acceptor.db).await?;
        let Some(maker) = maker else { return Ok(Some(format!("{nonce}, which created it, is not known here"))) };
        let at_work = matches!(maker.unwind, UndoState::Due | UndoState::Running);
        if matches!(maker.state, OperationState::Queued | OperationState::Running) || at_work {
            return Ok(Some(format!("{nonce}, which created it, is still running")));
        }
        let holder = vmids::find(&self.acceptor.db, vmid).await?;
        let taken = holder.filter(|row| row.state == reservation::ReservationState::Held && row.operation_id != nonce);
        Ok(taken.map(|row| format!("the VMID is held by {}", row.operation_id)))
    }

    /// The container `vmid` as something to remove, or why it must not be. Evidence that is not complete is an error.
    async fn orphan(&self, vmid: VmId) -> Result<TeardownSubject, NotRemovable> {
        let listed = self.listing().await?.into_iter().find(|container| container.vmid == vmid);
        let found = listed.filter(|container| !container.template).ok_or_else(|| ApiError::not_found("container"))?;
        let Some(nonce) = self.nonce(vmid, &found.node).await? else {
            return Err(NotRemovable::Kept("it does not carry a nonce of ours".to_owned()));
        };
        match self.why_not(vmid, nonce).await? {
            None => Ok(TeardownSubject {
                vmid,
                nonce,
                node: found.node,
                unpublish: None,
                destroy_requested: false,
                targets: Default::default(),
            }),
            Some(why) => Err(NotRemovable::Kept(why)),
        }
    }

    /// Audits an action or a refusal that has no operation of its own.
    async fn note(
        &self,
        actor: String,
        action: &'static str,
        vmid: VmId,
        outcome: AuditOutcome,
        why: &str,
    ) -> ApiResult<()> {
        let detail = json!({ "why": why });
        let entry = audit::Entry { actor, action, subject: format!("server:{vmid}"), outcome, request: None, detail };
        Ok(audit::record(&self.acceptor.db, entry, self.acceptor.clock.now()).await?)
    }

    async fn begin(
        &self,
        by: &Requester,
        vmid: VmId,
        owner: Option<UserId>,
        orphan: Option<TeardownSubject>,
    ) -> ApiResult<HttpResponse> {
        let act = if orphan.is_some() { "container.delete" } else { "server.delete" };
        let payload = TeardownPayload { vmid, by: by.name.clone(), orphan };
        let decide = async |tx: &DatabaseTransaction| {
            self.pass_maker(tx, vmid).await?;
            Ok(Order::new(payload.clone()).owned_by(owner).audited(act))
        };
        self.acceptor.accept(by, None, decide).await
    }

    /// A server is not deleted while the operation that creates it may still be undone, or is being undone.
    async fn pass_maker(&self, tx: &DatabaseTransaction, vmid: VmId) -> ApiResult<()> {
        let Some(row) = servers::store::find(tx, vmid).await? else { return Ok(()) };
        let maker = operation_of(tx, row.operation_id).await?;
        match maker {
            Some(maker) if !maker.state.is_ended() && !maker.committed => {
                let detail =
                    format!("Server {vmid} is still being created. Cancel that operation, or wait for its end.");
                Err(ApiError::new(Code::OperationInProgress, detail).operation(maker.id))
            }
            Some(maker) if matches!(maker.unwind, UndoState::Due | UndoState::Running) => {
                let detail =
                    format!("The create of server {vmid} failed, and the server is being removed by that operation.");
                Err(ApiError::new(Code::OperationInProgress, detail).operation(maker.id))
            }
            Some(_) | None => Ok(()),
        }
    }
}

async fn operation_of(db: &impl ConnectionTrait, id: OperationId) -> ApiResult<Option<operation::Model>> {
    Ok(operation::Entity::find_by_id(id).one(db).await?)
}

fn unreadable(error: HypervisorError) -> ApiError {
    tracing::warn!(%error, "the cluster cannot be listed");
    ApiError::new(
        Code::Unavailable,
        "The cluster cannot be listed completely now, and nothing is decided from a partial listing.",
    )
}
