//! `GET /api/servers`, `GET /api/servers/{id}` and the inventory `GET /api/instances`.
//!
//! A list costs one statement and one Redis round trip, however long it is.

use actix_web::web;
use sea_orm::DatabaseConnection;
use serde::Serialize;
use utoipa::ToSchema;

use super::owned::OwnedServer;
use super::view::{InventoryRow, ServerView};
use crate::accounts::{Admin, Customer};
use crate::db::entities::instance;
use crate::kernel::{Clock, VmId};
use crate::observe::facts::{Freshness, Live, Observation, observe};
use crate::observe::live::LiveState;
use crate::servers::store;
use crate::web::{ApiResult, Page, Query};

/// What the routes of servers work with.
#[derive(Clone)]
pub struct ServersApi {
    /// The servers.
    pub db: DatabaseConnection,
    /// What was last observed of them.
    pub live: LiveState,
    /// The clock.
    pub clock: Clock,
    /// How long observations count.
    pub freshness: Freshness,
}

impl ServersApi {
    /// Each of `servers` with what was last observed of it.
    pub async fn with_live(&self, servers: Vec<instance::Model>) -> Vec<(instance::Model, Observation)> {
        let mut live = self.live.read(&servers.iter().collect::<Vec<_>>()).await.into_iter();
        let now = self.clock.now();
        let observed = |server: instance::Model| {
            let live = live.next().unwrap_or(Live::Unreadable);
            let seen = observe(server.kind, &live, now, self.freshness);
            (server, seen)
        };
        servers.into_iter().map(observed).collect()
    }
}

/// One's own servers.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServerList {
    /// The servers, by number.
    servers: Vec<ServerView>,
    /// The cursor of the next page, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Everybody's servers.
#[derive(Debug, Serialize, ToSchema)]
pub struct Inventory {
    /// Always true.
    ok: bool,
    /// The servers, by number.
    rows: Vec<InventoryRow>,
    /// The cursor of the next page; null on the last.
    next: Option<String>,
}

/// `GET /api/servers`. Without `limit` the largest page, because the Portal does not turn pages.
pub async fn list(
    Customer(account): Customer,
    query: Query,
    api: web::Data<ServersApi>,
) -> ApiResult<web::Json<ServerList>> {
    let mut page = query.page::<VmId>()?;
    if query.get::<u64>("limit")?.is_none() {
        page.limit = Page::<VmId>::MOST;
    }
    let mut servers = store::list_owned(&api.db, account.user.id, page.after, page.rows_to_read()).await?;
    let next = page.cut(&mut servers, |server| server.vmid);
    let now = api.clock.now();
    let servers = api.with_live(servers).await.into_iter().map(|(server, seen)| ServerView::new(server, seen, now));
    Ok(web::Json(ServerList { servers: servers.collect(), next }))
}

/// `GET /api/servers/{id}`
pub async fn show(OwnedServer(server): OwnedServer, api: web::Data<ServersApi>) -> ApiResult<web::Json<ServerView>> {
    let live = api.live.read(&[&server]).await.pop().unwrap_or(Live::Unreadable);
    let seen = observe(server.kind, &live, api.clock.now(), api.freshness);
    Ok(web::Json(ServerView::new(server, seen, api.clock.now())))
}

/// `GET /api/instances`
pub async fn inventory(_: Admin, query: Query, api: web::Data<ServersApi>) -> ApiResult<web::Json<Inventory>> {
    let page = query.page::<VmId>()?;
    let mut servers = store::list_all(&api.db, page.after, page.rows_to_read()).await?;
    let next = page.cut(&mut servers, |server| server.vmid);
    let now = api.clock.now();
    let rows = api.with_live(servers).await.into_iter().map(|(server, seen)| InventoryRow::new(server, seen, now));
    Ok(web::Json(Inventory { ok: true, rows: rows.collect(), next }))
}
