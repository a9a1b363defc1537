//! `/api/edge/*`: requests of operators and of our own system about the edge.

use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpResponse, web};
use futures_util::future::join_all;
use sea_orm::DatabaseTransaction;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::debts::open_debts;
use super::error::PublishError;
use super::job::PublishPayload;
use super::publisher::Publisher;
use super::report::{TargetReport, TargetVerdict};
use crate::accounts::Caller;
use crate::db::entities::debt::DebtKind;
use crate::db::entities::instance::Lifecycle;
use crate::edge::{Intent, PUBLISH_REQUEST_KEY, PublishRequest, Target};
use crate::kernel::{Classify, Failure, Timestamp, VmId};
use crate::operations::{Acceptor, Order};
use crate::ports::{RouterPoll, RouterPolls};
use crate::servers::payload::{self, PayloadError, PayloadUpdate};
use crate::servers::{ports, store};
use crate::web::{ApiError, ApiResult, Code, Fields, FromFields, Json};

/// How long a health check of one target may take.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

/// What the handlers work with.
#[derive(Clone)]
pub struct EdgeApi {
    /// Accepts operations.
    pub acceptor: Acceptor,
    /// The peers, with the budget of background work.
    pub publisher: Publisher,
    /// The polls of Traefik.
    pub polls: Arc<dyn RouterPolls>,
}

/// The server the request is about.
#[derive(Clone, Debug, ToSchema)]
#[schema(as = EdgeRequest)]
pub struct EdgeRequest {
    /// Its id, a VMID.
    #[schema(rename = "serverId", value_type = String, example = "5013")]
    server_id: VmId,
}

impl FromFields for EdgeRequest {
    fn from_fields(mut fields: Fields<'_>) -> ApiResult<Self> {
        let server_id = fields.required(&["serverId", "vmid"], |value: &Value| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            text.parse::<VmId>().map_err(|_| "must be the id of a server, such as `5013`".to_owned())
        });
        let (server_id,) = fields.finish((server_id,))?;
        Ok(Self { server_id })
    }
}

/// The state of the edge targets and of all publications together.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EdgeHealth {
    /// Whether every configured target answers and accepts our credentials.
    ok: bool,
    /// The targets.
    targets: Vec<TargetHealth>,
    /// How many servers are not published as they should be, or are being published now.
    unsettled: u64,
    /// How many things of deleted servers are still to be removed, containers included.
    debts: u64,
    /// The last poll of Traefik; null if there was none for an hour.
    router_poll: Option<RouterPollView>,
}

/// The last poll of Traefik that got the complete document of routes.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouterPollView {
    /// When.
    #[schema(value_type = String, format = "date-time")]
    at: Timestamp,
    /// The entity tag of the document.
    etag: String,
}

impl From<RouterPoll> for RouterPollView {
    fn from(RouterPoll { at, etag }: RouterPoll) -> Self {
        Self { at, etag }
    }
}

/// One edge target.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetHealth {
    /// The target.
    #[schema(value_type = String, example = "cloudflare")]
    target: Target,
    /// Whether it is configured.
    configured: bool,
    /// Whether it answers and accepts our credentials; null when it is not configured.
    healthy: Option<bool>,
    /// What is wrong, and whether an operator has to act.
    detail: Option<String>,
    /// When our token expires, if the target reports it.
    #[schema(value_type = Option<String>, format = "date-time")]
    token_expires_at: Option<Timestamp>,
    /// How many deleted servers have something left here.
    debts: u64,
}

/// `GET /api/edge/health`
pub async fn health(_: Caller, api: web::Data<EdgeApi>) -> ApiResult<web::Json<EdgeHealth>> {
    let unsettled = store::count_unsettled(&api.acceptor.db).await?;
    let open = open_debts(&api.acceptor.db).await?;
    let at = |target: Target| open.get(&DebtKind::Edge(target)).copied().unwrap_or(0);
    // Without a public port in use, no one needs Traefik.
    let router = ports::is_any_held(&api.acceptor.db).await?.then_some(Target::Traefik);
    let asked = Target::peers().chain(router);
    let targets = join_all(asked.map(|target| api.check(target, at(target)))).await;
    let ok = targets.iter().all(|target| target.healthy != Some(false));
    // If Redis does not answer, the check of Traefik says so.
    let router_poll = api.polls.last().await.ok().flatten().map(RouterPollView::from);
    Ok(web::Json(EdgeHealth { ok, targets, unsettled, debts: open.values().sum(), router_poll }))
}

/// What was found at one target of a server.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetFinding {
    /// The target.
    #[schema(value_type = String, example = "cloudflare")]
    target: Target,
    /// `in_sync`, `missing`, `drifted`, `conflict` or `unknown`.
    #[schema(value_type = String, example = "in_sync")]
    verdict: TargetVerdict,
    /// The differences, one per entry.
    details: Vec<String>,
}

impl From<TargetReport> for TargetFinding {
    fn from(report: TargetReport) -> Self {
        let TargetReport { target, verdict, details } = report;
        Self { target, verdict, details }
    }
}

/// What was found at the targets of a server.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EdgeFindings {
    /// The server.
    #[schema(value_type = String, example = "5013")]
    server_id: String,
    /// Whether every target has what it should have.
    in_sync: bool,
    /// The targets; empty when the server was never published.
    targets: Vec<TargetFinding>,
}

/// `POST /api/edge/verify`: compares, and changes nothing.
pub async fn verify(_: Caller, api: web::Data<EdgeApi>, body: Json<EdgeRequest>) -> ApiResult<web::Json<EdgeFindings>> {
    let vmid = body.value.server_id;
    let reports = match api.publisher.verify(vmid).await {
        Ok(reports) => reports.unwrap_or_default(),
        Err(PublishError::Deleting { .. }) => return Err(ApiError::not_found("server")),
        Err(PublishError::Payload(PayloadError::Database(error))) => return Err(error.into()),
        Err(error) => return Err(ApiError::internal(error)),
    };
    let in_sync = !reports.is_empty() && reports.iter().all(|report| report.verdict == TargetVerdict::InSync);
    let targets = reports.into_iter().map(TargetFinding::from).collect();
    Ok(web::Json(EdgeFindings { server_id: vmid.to_string(), in_sync, targets }))
}

/// `POST /api/edge/publish`
pub async fn publish(caller: Caller, api: web::Data<EdgeApi>, body: Json<EdgeRequest>) -> ApiResult<HttpResponse> {
    api.begin(&caller, body.value.server_id, Intent::Published).await
}

/// `POST /api/edge/unpublish`
pub async fn unpublish(caller: Caller, api: web::Data<EdgeApi>, body: Json<EdgeRequest>) -> ApiResult<HttpResponse> {
    api.begin(&caller, body.value.server_id, Intent::Unpublished).await
}

impl EdgeApi {
    async fn check(&self, target: Target, debts: u64) -> TargetHealth {
        let configured = self.publisher.targets.get(target);
        let outcome = match configured {
            None => None,
            Some(peer) => Some(tokio::time::timeout(HEALTH_TIMEOUT, peer.check()).await),
        };
        let (healthy, detail, token_expires_at) = match outcome {
            None => (None, None, None),
            Some(Ok(Ok(expires))) => (Some(true), None, expires),
            Some(Ok(Err(error))) => {
                let who = match error.failure() {
                    Failure::NeedsOperator => " (needs an operator)",
                    _ => "",
                };
                (Some(false), Some(format!("{error}{who}")), None)
            }
            Some(Err(_)) => (Some(false), Some(format!("no answer within {} s", HEALTH_TIMEOUT.as_secs())), None),
        };
        TargetHealth { target, configured: configured.is_some(), healthy, detail, token_expires_at, debts }
    }

    async fn begin(&self, caller: &Caller, vmid: VmId, intent: Intent) -> ApiResult<HttpResponse> {
        let decide = async |tx: &DatabaseTransaction| {
            let now = self.acceptor.clock.now();
            let stored = payload::merge(tx, vmid, PUBLISH_REQUEST_KEY, now, |row, last: Option<PublishRequest>| {
                let request = PublishRequest::after(last, intent);
                (row.lifecycle == Lifecycle::Active && last != Some(request)).then(|| PayloadUpdate::to(request))
            });
            let row = stored.await.map_err(refused)?;
            if row.lifecycle != Lifecycle::Active {
                return Err(ApiError::new(Code::StateConflict, format!("Server {vmid} is being deleted.")));
            }
            let request: Option<PublishRequest> =
                payload::read(&row, PUBLISH_REQUEST_KEY).map_err(ApiError::internal)?;
            let request = request.map_or(0, |request| request.number);
            let act = match intent {
                Intent::Published => "edge.publish",
                Intent::Unpublished => "edge.unpublish",
            };
            Ok(Order::new(PublishPayload { vmid, intent, request }).audited(act))
        };
        self.acceptor.accept(&caller.try_into()?, None, decide).await
    }
}

fn refused(error: PayloadError) -> ApiError {
    match error {
        PayloadError::Gone { .. } => ApiError::not_found("server"),
        PayloadError::Database(error) => error.into(),
        error => ApiError::internal(error),
    }
}
