//! `/api/servers/{id}/host/*` and `/api/servers/{id}/game/*`.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr};
use serde::Serialize;
use utoipa::ToSchema;

use super::job::{HostAction, POWER, PowerPayload};
use crate::accounts::Customer;
use crate::audit;
use crate::db;
use crate::db::entities::instance::{self, InstanceKind, Lifecycle};
use crate::db::entities::user;
use crate::instances::OwnedServer;
use crate::jobs::{Lists, Queue};
use crate::kernel::{Clock, Secret, Timestamp, VmId};
use crate::operations::idempotency::{self, FirstAnswer, Seen, key_reused};
use crate::operations::{self, Accepted, Begun, NewOperation, OperationView, dedup_key};
use crate::ports::{Agent, AgentEndpoint, AgentError, PowerAction};
use crate::standing::{self, Action, Decision, Denial, gate};
use crate::web::{ApiError, ApiResult, Code, IdempotencyKey};

/// How often a request is repeated that lost a race against an equal one.
const RACES: usize = 5;

/// What the handlers work with.
#[derive(Clone)]
pub struct PowerApi {
    /// The database.
    pub db: DatabaseConnection,
    /// The doorbell of the workers.
    pub lists: Lists,
    /// The clock of the process.
    pub clock: Clock,
    /// The agents.
    pub agent: Arc<dyn Agent>,
    /// The agent's port.
    pub agent_port: u16,
    /// What agents accept as proof.
    pub agent_token: Option<Secret>,
}

/// The answer to a change of a game's power.
#[derive(Debug, Serialize, ToSchema)]
pub struct GamePower {
    /// Always true.
    ok: bool,
}

type Api = web::Data<PowerApi>;

/// `POST /api/servers/{id}/host/start`
pub async fn start(server: OwnedServer, who: Customer, key: IdempotencyKey, api: Api) -> ApiResult<HttpResponse> {
    api.begin(&server.0, &who.0.user, &key, HostAction::Start).await
}

/// `POST /api/servers/{id}/host/stop`
pub async fn stop(server: OwnedServer, who: Customer, key: IdempotencyKey, api: Api) -> ApiResult<HttpResponse> {
    api.begin(&server.0, &who.0.user, &key, HostAction::Stop).await
}

/// `POST /api/servers/{id}/host/restart`
pub async fn restart(server: OwnedServer, who: Customer, key: IdempotencyKey, api: Api) -> ApiResult<HttpResponse> {
    api.begin(&server.0, &who.0.user, &key, HostAction::Restart).await
}

/// `POST /api/servers/{id}/game/start`
pub async fn game_start(server: OwnedServer, who: Customer, api: Api) -> ApiResult<web::Json<GamePower>> {
    api.game(&server.0, &who.0.user, PowerAction::Start).await
}

/// `POST /api/servers/{id}/game/stop`
pub async fn game_stop(server: OwnedServer, who: Customer, api: Api) -> ApiResult<web::Json<GamePower>> {
    api.game(&server.0, &who.0.user, PowerAction::Stop).await
}

/// `POST /api/servers/{id}/game/restart`
pub async fn game_restart(server: OwnedServer, who: Customer, api: Api) -> ApiResult<web::Json<GamePower>> {
    api.game(&server.0, &who.0.user, PowerAction::Restart).await
}

impl PowerApi {
    async fn begin(
        &self,
        server: &instance::Model,
        user: &user::Model,
        key: &IdempotencyKey,
        action: HostAction,
    ) -> ApiResult<HttpResponse> {
        let route = format!("POST /api/servers/{}/host/{action}", server.vmid);
        let key = key.row_id(&user.id.to_string(), &route);
        for _ in 0..RACES {
            if let Some(key) = &key {
                match idempotency::find(&self.db, key, action.as_str(), self.clock.now()).await? {
                    Seen::Fresh => {}
                    Seen::Replay(answer) => return Ok(answer.replay()),
                    Seen::Reused => return Err(key_reused()),
                }
            }
            let Some(begun) = self.accept(server, user, key.as_deref(), action).await? else { continue };
            let id = begun.operation.id;
            if let Err(error) = self.lists.ring(Queue::Host, id).await {
                tracing::warn!(operation.id = %id, %error, "could not ring for {id}; the sweeper will offer it");
            }
            let view = OperationView::new(begun.operation, Vec::new(), Vec::new());
            return Ok(operations::http::accepted(view));
        }
        Err(ApiError::new(Code::Overloaded, "Equal requests arrived at the same moment; please send it again."))
    }

    /// Writes operation and first answer in one transaction; `None` when another request won the race.
    async fn accept(
        &self,
        server: &instance::Model,
        user: &user::Model,
        key: Option<&str>,
        action: HostAction,
    ) -> ApiResult<Option<Begun>> {
        let (vmid, now) = (server.vmid, self.clock.now());
        if server.lifecycle != Lifecycle::Active {
            return Err(ApiError::new(Code::StateConflict, "The server is being deleted."));
        }
        let tx = db::begin(&self.db).await?;
        let overridden = passed(action.gated(), &tx, user).await?;
        let new = NewOperation {
            kind: POWER,
            queue: Queue::Host,
            schema_version: 1,
            payload: PowerPayload { vmid, action },
            user_id: Some(server.user_id),
            max_starts: 5,
            step_count: action.steps(),
            // One for all actions: a server has one power operation at a time.
            dedup_key: Some(dedup_key(&[POWER, &vmid.to_string()])),
        };
        let Some(begun) = operations::try_begin(&tx, new, now).await? else { return Ok(None) };
        if !begun.fresh {
            let detail = "The power of this server is being changed already; wait for the end of that operation.";
            return Err(ApiError::new(Code::HostOperationInProgress, detail).operation(begun.operation.id));
        }
        if let Some(key) = key {
            let view = OperationView::new(begun.operation.clone(), Vec::new(), Vec::new());
            let body = serde_json::to_string(&Accepted::new(view)).map_err(ApiError::internal)?;
            let answer = FirstAnswer { status: 202, body, operation: Some(begun.operation.id) };
            if !idempotency::insert(&tx, key, action.as_str(), &answer, now).await? {
                return Ok(None);
            }
        }
        if let Some(denial) = overridden {
            note_override(&tx, vmid, user, &denial, now).await?;
        }
        tx.commit().await?;
        Ok(Some(begun))
    }

    async fn game(
        &self,
        server: &instance::Model,
        user: &user::Model,
        action: PowerAction,
    ) -> ApiResult<web::Json<GamePower>> {
        if server.kind == InstanceKind::Dev {
            let detail = "A dev container runs no game; use its host power.";
            return Err(ApiError::new(Code::StateConflict, detail));
        }
        if server.lifecycle != Lifecycle::Active {
            return Err(ApiError::new(Code::StateConflict, "The server is being deleted."));
        }
        let gated = match action {
            PowerAction::Start | PowerAction::Restart => Action::Start,
            PowerAction::Stop => Action::Stop,
        };
        if let Some(denial) = passed(gated, &self.db, user).await? {
            note_override(&self.db, server.vmid, user, &denial, self.clock.now()).await?;
        }
        let address = server.address.parse().map_err(ApiError::internal)?;
        let at = AgentEndpoint { address, port: self.agent_port, token: self.agent_token.clone() };
        match self.agent.power(&at, action).await {
            Ok(()) => Ok(web::Json(GamePower { ok: true })),
            // Whatever the agent says is for the customer to read (the contract of this route).
            Err(AgentError::Busy { detail, .. } | AgentError::Refused { detail, .. }) => {
                Err(ApiError::new(Code::AgentFailed, detail))
            }
            Err(AgentError::Unreachable { .. }) => {
                let detail = "The server does not answer. Is its host switched on?";
                Err(ApiError::new(Code::AgentFailed, detail))
            }
            Err(error) => {
                tracing::warn!(vmid = %server.vmid, %error, "the agent of {} failed", server.vmid);
                Err(ApiError::new(Code::AgentFailed, "The server's agent did not do it."))
            }
        }
    }
}

/// Asks the gate at request time; the job asks it again. What an admin was let through in spite of is returned.
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
        outcome: audit::Outcome::Done,
        request: None,
        detail: serde_json::json!({ "code": denial.code.as_str(), "for": denial.action.as_str() }),
    };
    audit::record(db, entry, now).await
}
