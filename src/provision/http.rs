//! `POST /api/instances`: a customer asks for a server.

use actix_web::{HttpResponse, web};
use sea_orm::{DatabaseConnection, DatabaseTransaction};

use super::create::CreateServer;
use super::job::{PROVISION, STEP_COUNT};
use super::request::{ProvisionPayload, ServerRequest, Workload};
use crate::accounts::Customer;
use crate::audit;
use crate::catalog::{Catalog, NotInCatalog, artifacts_for, validate_game, validate_runtime};
use crate::db;
use crate::db::entities::user;
use crate::instances::quota::{self, Quota};
use crate::jobs::{Failpoints, Lists, Queue};
use crate::kernel::{Clock, OperationId, Timestamp};
use crate::operations::idempotency::{self, FirstAnswer, Seen, key_reused};
use crate::operations::{self, Accepted, Begun, NewOperation, OperationView, Scope, dedup_key};
use crate::standing::{self, Action, Decision, gate};
use crate::web::{ApiError, ApiResult, Code, FieldError, IdempotencyKey, Json};

/// The name of this route in idempotency keys.
const ROUTE: &str = "POST /api/instances";

/// How often a request is repeated that lost a race against an equal one.
const RACES: usize = 5;

/// Bounds and defaults of what one server may have.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Least and most memory in MiB.
    pub memory_mib: (u32, u32),
    /// Least and most cores.
    pub cpu_cores: (u32, u32),
}

/// What the handler works with.
#[derive(Clone)]
pub struct ProvisionApi {
    /// The database.
    pub db: DatabaseConnection,
    /// The clock of the process.
    pub clock: Clock,
    /// The doorbell of the workers.
    pub lists: Lists,
    /// What may be chosen.
    pub catalog: Catalog,
    /// What one customer may have.
    pub quota: Quota,
    /// What one server may have.
    pub limits: ServerLimits,
    /// Places where tests kill, stop or hold the process.
    pub failpoints: Failpoints,
}

/// Memory of a server whose owner did not choose.
const DEFAULT_MEMORY_MIB: u32 = 2048;
/// Cores of a server whose owner did not choose.
const DEFAULT_CPU_CORES: u32 = 2;

/// `POST /api/instances`
pub async fn create(
    api: web::Data<ProvisionApi>,
    Customer(account): Customer,
    key: IdempotencyKey,
    body: Json<CreateServer>,
) -> ApiResult<HttpResponse> {
    let user = account.user;
    let key = key.row_id(&user.id.to_string(), ROUTE);
    if let Some(answer) = api.replay(key.as_deref(), &body.digest).await? {
        return Ok(answer);
    }
    let request = api.check(body.value).await?;
    for _ in 0..RACES {
        if let Some(answer) = api.replay(key.as_deref(), &body.digest).await? {
            return Ok(answer);
        }
        let now = api.clock.now();
        if let Some(begun) = api.accept(&user, &request, key.as_deref(), &body.digest, now).await? {
            return api.answer(begun).await;
        }
    }
    Err(ApiError::new(Code::Overloaded, "Equal requests arrived at the same moment; please send it again."))
}

impl ProvisionApi {
    async fn replay(&self, key: Option<&str>, digest: &str) -> ApiResult<Option<HttpResponse>> {
        let Some(key) = key else { return Ok(None) };
        match idempotency::find(&self.db, key, digest, self.clock.now()).await? {
            Seen::Fresh => Ok(None),
            Seen::Replay(answer) => Ok(Some(answer.replay())),
            Seen::Reused => Err(key_reused()),
        }
    }

    /// Checks the body against catalog and limits, all problems together.
    async fn check(&self, body: CreateServer) -> ApiResult<ServerRequest> {
        let mut errors = Vec::new();
        let memory_mib = bounded(body.memory_mib, DEFAULT_MEMORY_MIB, self.limits.memory_mib).unwrap_or_else(|text| {
            errors.push(field("memoryMiB", text));
            0
        });
        let cpu_cores = bounded(body.cpu_cores, DEFAULT_CPU_CORES, self.limits.cpu_cores).unwrap_or_else(|text| {
            errors.push(field("cpuCores", text));
            0
        });
        match self.choose(&body.workload).await? {
            Ok(()) => {
                if let Workload::Game { game, variant, version, .. } = &body.workload
                    && let Err(error) = artifacts_for(game, variant, version)
                {
                    errors.push(field("version", error.to_string()));
                }
            }
            Err(error) => errors.push(field(error.field.as_str(), error.to_string())),
        }
        if errors.is_empty() {
            Ok(ServerRequest { workload: body.workload, memory_mib, cpu_cores, name: body.name })
        } else {
            Err(ApiError::validation(errors))
        }
    }

    async fn choose(&self, workload: &Workload) -> ApiResult<Result<(), NotInCatalog>> {
        Ok(match workload {
            Workload::Game { game, variant, version, .. } => {
                validate_game(&self.catalog.games().await?.document, game, variant, version)
            }
            Workload::Dev { runtime, version } => {
                validate_runtime(&self.catalog.runtimes().await?.document, runtime, version)
            }
        })
    }

    /// Writes operation and first answer in one transaction; `None` when an equal request won the race.
    async fn accept(
        &self,
        user: &user::Model,
        request: &ServerRequest,
        key: Option<&str>,
        digest: &str,
        now: Timestamp,
    ) -> ApiResult<Option<Begun>> {
        let tx = db::begin(&self.db).await?;
        quota::lock_owner(&tx, user.id).await?;
        // An equal request may have been accepted while this one waited; what it began must not count against this one.
        if let Some(key) = key
            && idempotency::find(&tx, key, digest, now).await? != Seen::Fresh
        {
            return Ok(None);
        }
        self.pass_gate(&tx, user, now).await?;
        let memory_of = |payload: &str| {
            serde_json::from_str::<ProvisionPayload>(payload).ok().map(|payload| payload.request.memory_mib)
        };
        let usage = quota::usage(&tx, user.id, PROVISION, memory_of).await?;
        let new = NewOperation {
            kind: PROVISION,
            queue: Queue::Provision,
            schema_version: 1,
            payload: ProvisionPayload { user_id: user.id, request: request.clone() },
            user_id: Some(user.id),
            max_starts: 1,
            step_count: STEP_COUNT,
            // A key says by itself what is the same request.
            dedup_key: key.is_none().then(|| dedup_key(&[PROVISION, &user.id.to_string(), digest])),
        };
        let Some(begun) = operations::try_begin(&tx, new, now).await? else { return Ok(None) };
        if begun.fresh {
            quota::check(&self.quota, &usage, request.memory_mib)
                .map_err(|error| ApiError::new(Code::QuotaExceeded, error.to_string()))?;
        }
        if let Some(key) = key {
            let view = OperationView::new(begun.operation.clone(), Vec::new(), Vec::new());
            let body = serde_json::to_string(&Accepted::new(view)).map_err(ApiError::internal)?;
            let answer = FirstAnswer { status: 202, body, operation: Some(begun.operation.id) };
            if !idempotency::insert(&tx, key, digest, &answer, now).await? {
                return Ok(None);
            }
        }
        tx.commit().await?;
        Ok(Some(begun))
    }

    /// The answer to an accepted request. Workers are told of what is new; the rest is under way.
    async fn answer(&self, begun: Begun) -> ApiResult<HttpResponse> {
        let Begun { operation, fresh } = begun;
        let view = if fresh {
            self.failpoints.hit("enqueue.committed").await;
            self.ring(operation.id).await;
            self.failpoints.hit("enqueue.rung").await;
            OperationView::new(operation, Vec::new(), Vec::new())
        } else {
            let under_way = operations::find_view(&self.db, Scope::All, operation.id).await?;
            under_way.ok_or_else(|| ApiError::not_found("operation"))?
        };
        Ok(operations::http::accepted(view))
    }

    /// The gate at request time; the job asks it again.
    async fn pass_gate(&self, tx: &DatabaseTransaction, user: &user::Model, now: Timestamp) -> ApiResult<()> {
        let standing = standing::store::find(tx, user.id).await?;
        match gate(Action::Provision, &standing, user.role) {
            Decision::Allow => Ok(()),
            Decision::Deny(denial) => Err(denial.into()),
            Decision::Override(denial) => {
                let entry = audit::Entry {
                    actor: user.id.to_string(),
                    action: "gate_override",
                    subject: user.id.to_string(),
                    outcome: audit::Outcome::Done,
                    request: None,
                    detail: serde_json::json!({ "code": denial.code.as_str() }),
                };
                audit::record(tx, entry, now).await?;
                Ok(())
            }
        }
    }

    /// Tells the workers. When this fails the sweeper offers the operation within a second or so.
    async fn ring(&self, id: OperationId) {
        if let Err(error) = self.lists.ring(Queue::Provision, id).await {
            tracing::warn!(operation.id = %id, %error, "could not ring for {id}; the sweeper will offer it");
        }
    }
}

fn field(name: &str, message: String) -> FieldError {
    FieldError { pointer: format!("/{name}"), message }
}

fn bounded(chosen: Option<i64>, default: u32, (least, most): (u32, u32)) -> Result<u32, String> {
    let Some(chosen) = chosen else { return Ok(default.clamp(least, most)) };
    u32::try_from(chosen)
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("must be a whole number from {least} to {most}"))
}
