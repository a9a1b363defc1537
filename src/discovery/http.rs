//! `/internal/velocity/*` and `/internal/traefik/config`.

use std::sync::Arc;

use actix_web::http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use actix_web::{HttpRequest, HttpResponse, web};
use sea_orm::DatabaseConnection;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::callback::{ProxyCallback, receive};
use super::document;
use crate::accounts::Caller;
use crate::kernel::{Classify, Clock, Failure};
use crate::observe::router_polls::StoredPolls;
use crate::ports::RouterPoll;
use crate::servers::payload::PayloadError;
use crate::telemetry::Outage;
use crate::web::{ApiError, ApiResult, Code, Json};

/// State shared by the handlers.
#[derive(Clone)]
pub struct DiscoveryApi {
    /// The database.
    pub db: DatabaseConnection,
    /// Where polls of Traefik are noted.
    pub polls: StoredPolls,
    /// The clock of the process.
    pub clock: Clock,
    /// Whether the last document for Traefik had to leave servers out.
    pub collisions: Arc<Outage>,
}

impl DiscoveryApi {
    /// The handlers over `db`.
    pub fn new(db: DatabaseConnection, polls: StoredPolls, clock: Clock) -> Self {
        Self { db, polls, clock, collisions: Arc::new(Outage::of("public ports of servers")) }
    }
}

/// The answer to a callback.
#[derive(Debug, Serialize, ToSchema)]
pub struct Received {
    /// Always true.
    ok: bool,
    /// Whether it was stored: it changed what is known of a known server.
    kept: bool,
}

/// `POST /internal/velocity/proxy-status`
pub async fn proxy_status(
    _: Caller,
    api: web::Data<DiscoveryApi>,
    body: Json<ProxyCallback>,
) -> ApiResult<HttpResponse> {
    let kept = receive(&api.db, &body.value.0, api.clock.now()).await.map_err(|error| match error {
        PayloadError::Database(error) => error.into(),
        error if error.failure() == Failure::Transient => ApiError::new(Code::Overloaded, error.to_string()),
        error => ApiError::internal(error),
    })?;
    Ok(HttpResponse::Accepted().json(Received { ok: true, kept }))
}

/// `GET /internal/velocity/desired`
pub async fn desired(request: HttpRequest, _: Caller, api: web::Data<DiscoveryApi>) -> ApiResult<HttpResponse> {
    let servers = document::desired(&api.db).await.map_err(unreadable)?;
    let text = json!(servers).to_string();
    let etag = format!("\"{}\"", hex::encode(Sha256::digest(text.as_bytes())).get(..32).unwrap_or_default());
    Ok(tagged(&request, &etag, text))
}

/// `GET /internal/traefik/config`
pub async fn traefik(request: HttpRequest, _: Caller, api: web::Data<DiscoveryApi>) -> ApiResult<HttpResponse> {
    let document = document::routes(&api.db).await.map_err(unreadable)?;
    match document.collisions() {
        [] => api.collisions.works(),
        collisions => api.collisions.failed(collisions.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
    }
    let etag = document.etag();
    api.polls.record(&RouterPoll { at: api.clock.now(), etag: etag.clone() }).await;
    Ok(tagged(&request, &etag, document.text().to_owned()))
}

/// The document, or 304 when the caller already has it.
fn tagged(request: &HttpRequest, etag: &str, text: String) -> HttpResponse {
    let known = request.headers().get_all(IF_NONE_MATCH).filter_map(|value| value.to_str().ok());
    let known = known
        .flat_map(|value| value.split(','))
        .any(|tag| matches!(tag.trim().trim_start_matches("W/"), tag if tag == etag || tag == "*"));
    let mut answer = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    answer.insert_header((ETAG, etag)).insert_header((CACHE_CONTROL, "no-cache"));
    if known { answer.finish() } else { answer.content_type("application/json").body(text) }
}

/// Never serve a partial document: a 503 makes pollers keep their last copy.
fn unreadable(error: PayloadError) -> ApiError {
    match error {
        PayloadError::Database(error) => error.into(),
        error => {
            tracing::error!(%error, "a document for the edge could not be generated: {error}");
            ApiError::new(Code::Unavailable, "The document could not be generated completely. Keep your last copy.")
        }
    }
}
