//! `GET /metrics`: the metrics of this process, on the API's port or, for roles without an API, on a listener of its
//! own. A scrape queries no store: the gauges of the stores were read before.

use std::io;
use std::net::TcpListener;

use actix_web::http::header::{AUTHORIZATION, CACHE_CONTROL};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use sea_orm::DatabaseConnection;
use tokio_util::sync::CancellationToken;

use crate::accounts::unauthenticated;
use crate::db;
use crate::kernel::Secret;
use crate::telemetry::{MEDIA_TYPE, Metrics};
use crate::web::{ApiError, ApiResult, Code};

/// What the metrics route needs.
#[derive(Clone, Debug)]
pub struct MetricsApi {
    /// The metrics of the process.
    pub metrics: Metrics,
    /// The connection pool, for its gauges.
    pub db: DatabaseConnection,
}

impl MetricsApi {
    fn answer(&self) -> ApiResult<HttpResponse> {
        let pool = db::pool_use(&self.db);
        self.metrics.stores.connections(pool.limit, pool.open, pool.idle);
        let text = self.metrics.render().map_err(|error| {
            tracing::error!(%error, "cannot encode the metrics");
            ApiError::new(Code::Internal, "The metrics cannot be encoded.")
        })?;
        Ok(HttpResponse::Ok().content_type(MEDIA_TYPE).insert_header((CACHE_CONTROL, "no-store")).body(text))
    }
}

/// `GET /metrics`.
pub async fn show(api: web::Data<MetricsApi>) -> ApiResult<HttpResponse> {
    api.answer()
}

struct Door {
    api: MetricsApi,
    token: Option<Secret>,
}

/// Serves `GET /metrics` on `listener` until `stop` fires. With a `token`, requests must carry it as bearer token.
pub async fn serve_metrics(
    listener: TcpListener,
    api: MetricsApi,
    token: Option<Secret>,
    stop: CancellationToken,
) -> io::Result<()> {
    let door = web::Data::new(Door { api, token });
    let server = HttpServer::new(move || App::new().app_data(door.clone()).route("/metrics", web::get().to(scrape)))
        .workers(1)
        .max_connections(32)
        .shutdown_timeout(1)
        .shutdown_signal(stop.cancelled_owned())
        .listen(listener)?
        .run();
    server.await
}

async fn scrape(door: web::Data<Door>, request: HttpRequest) -> ApiResult<HttpResponse> {
    let sent = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let sent = sent.and_then(|value| value.strip_prefix("Bearer "));
    match &door.token {
        Some(token) if !sent.is_some_and(|sent| token.matches(sent)) => {
            Err(unauthenticated("This route requires the token of Prometheus."))
        }
        _ => door.api.answer(),
    }
}
