//! `GET /api/servers/{id}/status` and `GET /api/servers/{id}/host/status`: what is known of one server, and how old
//! that is.

use actix_web::web;
use serde::Serialize;
use utoipa::ToSchema;

use super::api::{Observed, ServersApi};
use super::owned::OwnedServer;
use super::readiness::Readiness;
use super::stored_edge::StoredEdge;
use super::view::ConnectionView;
use crate::edge::{EdgeState, EdgeSummary, PingState, ProxyPresence, Target, TargetState};
use crate::kernel::Timestamp;
use crate::observe::facts::ObservedPower;
use crate::ports::PowerState;
use crate::web::ApiResult;

/// Whether players can connect to a server, from all observations of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusView {
    /// The id of the server.
    #[schema(example = "5001")]
    id: String,
    /// Whether its workload is ready.
    #[schema(value_type = String, example = "ready")]
    readiness: Readiness,
    /// Whether players can connect; null for a server that was not published.
    connection: Option<ConnectionView>,
    /// Its public name at each target; null for a server that was not published.
    edge: Option<EdgeView>,
    /// Whether it is registered at the proxy: `registered`, `not_registered`, `unknown` or `not_needed`.
    #[schema(value_type = String, example = "registered")]
    proxy: ProxyPresence,
    /// The result of the last ping: `answered`, `silent`, `failed`, `unknown` or `not_needed`.
    #[schema(value_type = String, example = "answered")]
    ping: PingState,
    /// The address players connect to; null when the server is not to be published.
    address: Option<String>,
    /// When the newest fact about its container and agent was observed.
    #[schema(value_type = Option<String>, format = "date-time")]
    observed_at: Option<Timestamp>,
    /// Whether those facts are older than they should be.
    stale: bool,
}

/// A publication.
#[derive(Debug, Serialize, ToSchema)]
pub struct EdgeView {
    /// All targets together: `not_published`, `publishing`, `published`, `degraded`, `failed` or `unpublishing`.
    #[schema(value_type = String, example = "published")]
    state: EdgeState,
    /// Each target.
    targets: Vec<TargetView>,
}

/// The publication at one target.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetView {
    /// `velocity`, `technitium`, `cloudflare`, `traefik` or `ide`.
    #[schema(value_type = String, example = "cloudflare")]
    target: Target,
    /// `pending`, `published`, `retrying`, `blocked` or `withdrawn`.
    #[schema(value_type = String, example = "published")]
    state: TargetState,
    /// When it is retried next.
    #[schema(value_type = Option<String>, format = "date-time")]
    retry_at: Option<Timestamp>,
    /// When it entered this state.
    #[schema(value_type = String, format = "date-time")]
    since: Timestamp,
}

impl EdgeView {
    /// The view of `summary`, whose targets together are in `state`.
    fn new(summary: &EdgeSummary, state: EdgeState) -> Self {
        let targets = summary.targets().iter().map(|(target, of)| TargetView {
            target: *target,
            state: of.state,
            retry_at: of.due_at,
            since: of.changed_at,
        });
        Self { state, targets: targets.collect() }
    }
}

/// The power of a container.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PowerView {
    /// `running`, `stopped`, or `unknown` when the last observation failed or is too old.
    #[schema(value_type = String, example = "running")]
    power_state: PowerState,
    /// When it was last observed.
    #[schema(value_type = Option<String>, format = "date-time")]
    observed_at: Option<Timestamp>,
    /// Whether that is older than it should be, or a later observation failed.
    stale: bool,
}

/// `GET /api/servers/{id}/status`
pub async fn status(OwnedServer(server): OwnedServer, api: web::Data<ServersApi>) -> ApiResult<web::Json<StatusView>> {
    let Observed { now, seen, .. } = api.observed(&server).await;
    let stored = StoredEdge::of(&server);
    Ok(web::Json(StatusView {
        id: server.vmid.to_string(),
        readiness: stored.readiness(&seen),
        connection: stored.connection(&seen, now).map(Into::into),
        edge: stored.edge.as_ref().zip(stored.edge_state()).map(|(summary, state)| EdgeView::new(summary, state)),
        proxy: stored.presence(&seen, now),
        ping: stored.ping(now),
        address: stored.address().map(str::to_owned),
        observed_at: seen.observed_at,
        stale: seen.stale,
    }))
}

/// `GET /api/servers/{id}/host/status`
pub async fn host_status(
    OwnedServer(server): OwnedServer,
    api: web::Data<ServersApi>,
) -> ApiResult<web::Json<PowerView>> {
    let ObservedPower { power, observed_at, stale } = api.observed(&server).await.power;
    Ok(web::Json(PowerView { power_state: power, observed_at, stale }))
}
