//! `POST /api/instances`: a customer requests a server.

use actix_web::{HttpResponse, web};
use sea_orm::{DatabaseTransaction, EntityTrait};

use super::create::CreateServer;
use super::request::{ProvisionPayload, ServerRequest, Workload};
use crate::accounts::Customer;
use crate::audit;
use crate::catalog::{Catalog, NotInCatalog, artifacts_for, validate_game, validate_runtime};
use crate::db::entities::user::{self, Role};
use crate::instances::quota::{self, Quota};
use crate::jobs::Work;
use crate::kernel::{Timestamp, UserId};
use crate::operations::idempotency::KeyUse;
use crate::operations::{Acceptor, Order};
use crate::standing::{self, Action, Decision, gate};
use crate::web::{ApiError, ApiResult, Code, FieldError, IdempotencyKey, Json};

/// The name of this route in idempotency keys.
const ROUTE: &str = "POST /api/instances";

/// The limits of one server.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Minimum and maximum memory in MiB.
    pub memory_mib: (u32, u32),
    /// Minimum and maximum number of cores.
    pub cpu_cores: (u32, u32),
}

/// Dependencies of the handler.
#[derive(Clone)]
pub struct ProvisionApi {
    /// Accepts operations.
    pub acceptor: Acceptor,
    /// The games and runtimes that may be requested.
    pub catalog: Catalog,
    /// The quota of each customer.
    pub quota: Quota,
    /// The limits of each server.
    pub limits: ServerLimits,
}

/// Memory of a server when the request names none.
const DEFAULT_MEMORY_MIB: u32 = 2048;
/// Cores of a server when the request names none.
const DEFAULT_CPU_CORES: u32 = 2;

/// `POST /api/instances`
pub async fn create(
    api: web::Data<ProvisionApi>,
    Customer(account): Customer,
    key: IdempotencyKey,
    body: Json<CreateServer>,
) -> ApiResult<HttpResponse> {
    let user = &account.user;
    let key = KeyUse::of(&key, user.id, ROUTE, &body.digest);
    let check = async || {
        let owner = api.owner(user, body.value.customer_id).await?;
        Ok((owner, api.check(body.value).await?))
    };
    let decide = async |tx: &DatabaseTransaction, (owner, request): &(user::Model, ServerRequest)| {
        let order = api.order(tx, owner, request).await?;
        Ok(if owner.id == user.id { order } else { order.audited("server.create_for_customer") })
    };
    api.acceptor.accept_checked(&(&account).into(), key.as_ref(), check, decide).await
}

impl ProvisionApi {
    /// Whose server it becomes: the caller's own, or that of the customer whom an admin names.
    async fn owner(&self, caller: &user::Model, named: Option<UserId>) -> ApiResult<user::Model> {
        let Some(named) = named.filter(|named| *named != caller.id) else { return Ok(caller.clone()) };
        match caller.role {
            Role::Customer => Err(ApiError::new(Code::Forbidden, "You can create servers for yourself only.")),
            Role::Admin => {
                let found = user::Entity::find_by_id(named).one(&self.acceptor.db).await?;
                found.ok_or_else(|| ApiError::validation(vec![field("customerId", "is not an account".to_owned())]))
            }
        }
    }

    /// Checks the body against catalog and limits, and reports all problems together.
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
        let workload = Workload::from(body.workload);
        errors.extend(self.not_in_catalog(&workload).await?);
        if errors.is_empty() {
            Ok(ServerRequest { workload, memory_mib, cpu_cores, name: body.name })
        } else {
            Err(ApiError::validation(errors))
        }
    }

    /// The field whose value the catalog does not offer.
    async fn not_in_catalog(&self, workload: &Workload) -> ApiResult<Option<FieldError>> {
        let unknown = |error: NotInCatalog| field(error.field.as_str(), error.to_string());
        Ok(match workload {
            Workload::Game { game, variant, version, .. } => {
                let catalog = self.catalog.games().await?;
                let offered = validate_game(&catalog.document, game, variant, version).map_err(unknown);
                let installable = || artifacts_for(game, variant, version).map_err(|e| field("version", e.to_string()));
                offered.and_then(|()| installable().map(drop)).err()
            }
            Workload::Dev { runtime, version } => {
                let catalog = self.catalog.runtimes().await?;
                validate_runtime(&catalog.document, runtime, version).map_err(unknown).err()
            }
        })
    }

    /// Checks gate and quota for the owner `user`, whose own role counts: the job checks it again. Requests of one user are
    /// serialized, so that two of them cannot both take the last server of the quota.
    async fn order(
        &self,
        tx: &DatabaseTransaction,
        user: &user::Model,
        request: &ServerRequest,
    ) -> ApiResult<Order<ProvisionPayload>> {
        quota::lock_owner(tx, user.id).await?;
        self.pass_gate(tx, user, self.acceptor.clock.now()).await?;
        let memory_of = |payload: &str| {
            serde_json::from_str::<ProvisionPayload>(payload).ok().map(|payload| payload.request.memory_mib)
        };
        let usage = quota::usage(tx, user.id, ProvisionPayload::KIND, memory_of).await?;
        let fits = quota::check(&self.quota, &usage, request.memory_mib)
            .map_err(|error| ApiError::new(Code::QuotaExceeded, error.to_string()));
        let payload = ProvisionPayload { user_id: user.id, request: request.clone() };
        Ok(Order::new(payload).owned_by(user.id).if_new(fits))
    }

    /// The gate at request time; the job checks it again.
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
                    outcome: audit::AuditOutcome::Done,
                    request: None,
                    detail: serde_json::json!({ "code": denial.code.as_str() }),
                };
                audit::record(tx, entry, now).await?;
                Ok(())
            }
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
