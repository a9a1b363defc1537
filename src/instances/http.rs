//! `GET /api/servers`, `GET /api/servers/{id}` and the inventory `GET /api/instances`.
//!
//! A list costs one SQL statement and one Redis round trip, however long it is.

use actix_web::web;
use serde::Serialize;
use utoipa::ToSchema;

use super::api::ServersApi;
use super::owned::OwnedServer;
use super::view::{InventoryRow, ServerView};
use crate::accounts::{Admin, Customer};
use crate::kernel::VmId;
use crate::servers::store;
use crate::web::{ApiResult, Page, Query};

/// The servers of the caller.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServerList {
    /// The servers, sorted by VMID.
    servers: Vec<ServerView>,
    /// The cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// All servers.
#[derive(Debug, Serialize, ToSchema)]
pub struct Inventory {
    /// Always true.
    ok: bool,
    /// The servers, sorted by VMID.
    rows: Vec<InventoryRow>,
    /// The cursor of the next page; null on the last page.
    next: Option<String>,
}

/// `GET /api/servers`. Without `limit` a page has the largest size, because the Portal reads only the first page.
pub async fn list(
    Customer(account): Customer,
    query: Query,
    api: web::Data<ServersApi>,
) -> ApiResult<web::Json<ServerList>> {
    let mut page = query.page::<VmId>()?;
    if query.get::<u64>("limit")?.is_none() {
        page.limit = Page::<VmId>::MOST;
    }
    let mut servers = store::list_owned(&api.reads, account.user.id, page.after, page.rows_to_read()).await?;
    let next = page.cut(&mut servers, |server| server.vmid);
    let servers = api.all_observed(servers).await.into_iter().map(|(server, seen)| ServerView::new(server, seen));
    Ok(web::Json(ServerList { servers: servers.collect(), next }))
}

/// `GET /api/servers/{id}`
pub async fn show(OwnedServer(server): OwnedServer, api: web::Data<ServersApi>) -> ApiResult<web::Json<ServerView>> {
    let observed = api.observed(&server).await;
    Ok(web::Json(ServerView::new(server, observed)))
}

/// `GET /api/instances`
pub async fn inventory(_: Admin, query: Query, api: web::Data<ServersApi>) -> ApiResult<web::Json<Inventory>> {
    let page = query.page::<VmId>()?;
    let mut servers = store::list_all(&api.reads, page.after, page.rows_to_read()).await?;
    let next = page.cut(&mut servers, |server| server.vmid);
    let rows = api.all_observed(servers).await.into_iter().map(|(server, seen)| InventoryRow::new(server, seen));
    Ok(web::Json(Inventory { ok: true, rows: rows.collect(), next }))
}
