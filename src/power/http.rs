//! `/api/servers/{id}/host/*` and `/api/servers/{id}/game/*`.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};
use serde::Serialize;
use utoipa::ToSchema;

use super::payload::{HostAction, PowerPayload};
use crate::accounts::{Customer, SignedIn};
use crate::audit;
use crate::db::entities::instance::{self, InstanceKind, Lifecycle};
use crate::db::entities::user;
use crate::instances::OwnedServer;
use crate::kernel::{Timestamp, VmId};
use crate::operations::idempotency::KeyUse;
use crate::operations::{Acceptor, Order};
use crate::ports::{Agent, AgentError, WorkloadAction};
use crate::servers::store;
use crate::standing::{self, Action, Decision, Denial, gate};
use crate::web::{ApiError, ApiResult, Code, IdempotencyKey};

/// State shared by the handlers.
#[derive(Clone)]
pub struct PowerApi {
    /// Accepts operations.
    pub acceptor: Acceptor,
    /// The agents.
    pub agent: Arc<dyn Agent>,
}

/// The answer to a change of a workload's power.
#[derive(Debug, Serialize, ToSchema)]
pub struct GamePower {
    /// Always true.
    ok: bool,
}

type Api = web::Data<PowerApi>;

/// `POST /api/servers/{id}/host/start`
pub async fn start(server: OwnedServer, who: Customer, key: IdempotencyKey, api: Api) -> ApiResult<HttpResponse> {
    api.switch(&server.0, &who.0, &key, HostAction::Start).await
}

/// `POST /api/servers/{id}/host/stop`
pub async fn stop(server: OwnedServer, who: Customer, key: IdempotencyKey, api: Api) -> ApiResult<HttpResponse> {
    api.switch(&server.0, &who.0, &key, HostAction::Stop).await
}

/// `POST /api/servers/{id}/host/restart`
pub async fn restart(server: OwnedServer, who: Customer, key: IdempotencyKey, api: Api) -> ApiResult<HttpResponse> {
    api.switch(&server.0, &who.0, &key, HostAction::Restart).await
}

/// `POST /api/servers/{id}/game/start`
pub async fn game_start(server: OwnedServer, who: Customer, api: Api) -> ApiResult<web::Json<GamePower>> {
    api.game(&server.0, &who.0.user, WorkloadAction::Start).await
}

/// `POST /api/servers/{id}/game/stop`
pub async fn game_stop(server: OwnedServer, who: Customer, api: Api) -> ApiResult<web::Json<GamePower>> {
    api.game(&server.0, &who.0.user, WorkloadAction::Stop).await
}

/// `POST /api/servers/{id}/game/restart`
pub async fn game_restart(server: OwnedServer, who: Customer, api: Api) -> ApiResult<web::Json<GamePower>> {
    api.game(&server.0, &who.0.user, WorkloadAction::Restart).await
}

impl PowerApi {
    async fn switch(
        &self,
        server: &instance::Model,
        account: &SignedIn,
        key: &IdempotencyKey,
        action: HostAction,
    ) -> ApiResult<HttpResponse> {
        let (vmid, user) = (server.vmid, &account.user);
        let route = format!("POST /api/servers/{vmid}/host/{action}");
        let key = KeyUse::of(key, user.id, &route, action.as_str());
        let decide = async |tx: &DatabaseTransaction| {
            if server.lifecycle != Lifecycle::Active {
                return Err(ApiError::new(Code::StateConflict, "The server is being deleted."));
            }
            if let Some(denial) = passed(action.gated(), tx, user).await? {
                note_override(tx, vmid, user, &denial, self.acceptor.clock.now()).await?;
            }
            let detail = "The power of this server is being changed already; wait for the end of that operation.";
            let busy = ApiError::new(Code::HostOperationInProgress, detail);
            Ok(Order::new(PowerPayload { vmid, action }).owned_by(server.user_id).refuse_while_busy(busy))
        };
        self.acceptor.accept(&account.into(), key.as_ref(), decide).await
    }

    async fn game(
        &self,
        server: &instance::Model,
        user: &user::Model,
        action: WorkloadAction,
    ) -> ApiResult<web::Json<GamePower>> {
        if server.kind == InstanceKind::Dev {
            let detail = "A dev container runs no game; use its host power.";
            return Err(ApiError::new(Code::StateConflict, detail));
        }
        if server.lifecycle != Lifecycle::Active {
            return Err(ApiError::new(Code::StateConflict, "The server is being deleted."));
        }
        let gated = match action {
            WorkloadAction::Start | WorkloadAction::Restart => Action::Start,
            WorkloadAction::Stop => Action::Stop,
        };
        if let Some(denial) = passed(gated, &self.acceptor.db, user).await? {
            note_override(&self.acceptor.db, server.vmid, user, &denial, self.acceptor.clock.now()).await?;
        }
        let address = server.address.parse().map_err(ApiError::internal)?;
        if action == WorkloadAction::Stop {
            // The owner wants it stopped, whatever the agent answers: the next start of the container leaves it so.
            store::mark_resume(&self.acceptor.db, server.vmid, false).await?;
        }
        match self.agent.power(address, action).await {
            Ok(()) => {
                if action != WorkloadAction::Stop && server.resume {
                    store::mark_resume(&self.acceptor.db, server.vmid, false).await?;
                }
                Ok(web::Json(GamePower { ok: true }))
            }
            // The agent's message is passed on to the customer (the contract of this route).
            Err(AgentError::Busy { detail, .. } | AgentError::Refused { detail, .. }) => {
                Err(ApiError::new(Code::AgentFailed, detail))
            }
            Err(AgentError::Unreachable { .. }) => {
                let detail = "The server does not answer. Is its host switched on?";
                Err(ApiError::new(Code::AgentFailed, detail))
            }
            Err(error) => {
                tracing::warn!(vmid = %server.vmid, %error, "the agent of {} failed", server.vmid);
                Err(ApiError::new(Code::AgentFailed, "The server's agent could not do this."))
            }
        }
    }
}

/// Checks the gate at request time; the job checks it again. Returns the denial that an admin overrode.
async fn passed(action: Action, db: &impl ConnectionTrait, user: &user::Model) -> ApiResult<Option<Denial>> {
    match gate(action, &standing::store::find(db, user.id).await?, user.role) {
        Decision::Allow => Ok(None),
        Decision::Override(denial) => Ok(Some(denial)),
        Decision::Deny(denial) => Err(denial.into()),
    }
}

async fn note_override(
    db: &impl ConnectionTrait,
    vmid: VmId,
    user: &user::Model,
    denial: &Denial,
    now: Timestamp,
) -> Result<(), DbErr> {
    let entry = audit::Entry {
        actor: user.id.to_string(),
        action: "gate_override",
        subject: format!("server:{vmid}"),
        outcome: audit::AuditOutcome::Done,
        request: None,
        detail: serde_json::json!({ "code": denial.code.as_str(), "for": denial.action.as_str() }),
    };
    audit::record(db, entry, now).await
}
