//! `GET /api/servers`, `GET /api/servers/{id}` and the inventory `GET /api/instances`.
//!
//! A list costs one SQL statement and one Redis round trip, however long it is; the first page of the caller's servers one
//! more statement, for those that are being created.

use actix_web::web;
use serde::Serialize;
use utoipa::ToSchema;

use super::api::ServersApi;
use super::owned::OwnedServer;
use super::pending::{CREATE_KIND, PendingServer};
use super::view::{InventoryRow, ServerView};
use crate::accounts::{Admin, Customer};
use crate::kernel::{OperationId, VmId};
use crate::operations::creations;
use crate::servers::store;
use crate::web::{ApiResult, Page, Query};

/// The servers of the caller.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServerList {
    /// The servers, sorted by VMID.
    servers: Vec<ServerView>,
    /// Servers that are being created, and those whose creation failed within a day and was not dismissed, newest first; at
    /// most 50, on the first page only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<Vec<PendingServer>>,
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
    // Read first: a server that is recorded between the two reads is in both, not in neither.
    let creations = match page.after {
        None => Some(creations(&api.reads, account.user.id, CREATE_KIND, api.clock.now()).await?),
        Some(_) => None,
    };
    let mut servers = store::list_owned(&api.reads, account.user.id, page.after, page.rows_to_read()).await?;
    let next = page.cut(&mut servers, |server| server.vmid);
    let recorded: Vec<OperationId> = servers.iter().map(|server| server.operation_id).collect();
    let pending = creations.map(|creations| {
        let pending = creations.into_iter().filter_map(PendingServer::new);
        pending.filter(|pending| !recorded.contains(&pending.operation())).collect()
    });
    let servers = api.all_observed(servers).await.into_iter().map(|(server, seen)| ServerView::new(server, seen));
    Ok(web::Json(ServerList { servers: servers.collect(), pending, next }))
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
