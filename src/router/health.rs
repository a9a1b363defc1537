//! Liveness and readiness of the process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpResponse, web};
use sea_orm::DatabaseConnection;
use serde::Serialize;
use utoipa::ToSchema;

use crate::kernel::{Clock, Timestamp};
use crate::web::{ApiError, ApiResult, Code};

/// What the health routes need.
#[derive(Clone)]
pub struct HealthApi {
    /// The clock.
    pub clock: Clock,
    /// What readiness depends on.
    pub probes: Vec<Arc<dyn Probe>>,
}

/// Something that the process depends on.
#[async_trait::async_trait]
pub trait Probe: Send + Sync {
    /// Its name, such as `database`.
    fn name(&self) -> &'static str;

    /// Whether the process can do nothing without it. Without any other, the process works on, degraded.
    fn is_vital(&self) -> bool {
        true
    }

    /// Whether it answers now.
    async fn answers(&self) -> bool;
}

/// Whether the database answers.
#[derive(Clone, Debug)]
pub struct DatabaseProbe(pub DatabaseConnection);

#[async_trait::async_trait]
impl Probe for DatabaseProbe {
    fn name(&self) -> &'static str {
        "database"
    }

    async fn answers(&self) -> bool {
        let answer = self.0.ping().await;
        if let Err(error) = &answer {
            tracing::debug!(%error, "the database does not answer: {error}");
        }
        answer.is_ok()
    }
}

const PROBE_TIME: Duration = Duration::from_secs(2);

/// The liveness of the process.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    status: &'static str,
    /// Always `zpack`.
    service: &'static str,
    /// The clock of the process.
    #[schema(value_type = String, format = "date-time")]
    time: Timestamp,
}

/// The readiness of the process.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readyz {
    /// `ready`, or `degraded` if something is unavailable that is not needed to accept requests.
    status: &'static str,
    /// The status of each dependency: `ok` or `unreachable`.
    parts: BTreeMap<&'static str, &'static str>,
}

/// `GET /healthz`, `OPTIONS /healthz` and `OPTIONS /`: checks no dependency.
pub async fn alive() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ok\n")
}

/// `GET /api/health`.
pub async fn health(api: web::Data<HealthApi>) -> web::Json<Health> {
    web::Json(Health { status: "ok", service: "zpack", time: api.clock.now() })
}

/// `GET /readyz`: checks all dependencies concurrently, each for at most two seconds.
pub async fn ready(api: web::Data<HealthApi>) -> ApiResult<web::Json<Readyz>> {
    let asked = api.probes.iter().map(|probe| async move {
        let answer = tokio::time::timeout(PROBE_TIME, probe.answers()).await;
        (probe, answer.unwrap_or(false))
    });
    let answers = futures_util::future::join_all(asked).await;
    let parts: BTreeMap<_, _> =
        answers.iter().map(|(probe, ok)| (probe.name(), if *ok { "ok" } else { "unreachable" })).collect();
    let silent = || answers.iter().filter(|(_, ok)| !ok).map(|(probe, _)| probe);
    if !silent().any(|probe| probe.is_vital()) {
        let status = if silent().next().is_none() { "ready" } else { "degraded" };
        return Ok(web::Json(Readyz { status, parts }));
    }
    let names: Vec<_> = silent().map(|probe| probe.name()).collect();
    let detail = format!("Unreachable: {}.", names.join(", "));
    Err(ApiError::new(Code::Unavailable, detail).retry_after(PROBE_TIME).member("parts", serde_json::json!(parts)))
}
