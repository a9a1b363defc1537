//! `GET /api/servers`, `GET /api/servers/{id}` and the inventory `GET /api/instances`.
//!
//! A list costs one SQL statement and one Redis round trip, however long it is; the first page of a caller for whom a server
//! is being created two more statements.

use actix_web::web;
use serde::Serialize;
use utoipa::ToSchema;

use super::api::ServersApi;
use super::owned::OwnedServer;
use super::pending::{CREATE_KIND, PendingServer};
use super::view::{InventoryRow, ServerView};
use crate::accounts::{Admin, Customer};
use crate::db::entities::instance;
use crate::kernel::{OperationId, UserId, VmId};
use crate::operations::{Creation, creations};
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
    let (mut servers, creations) = match page.after {
        None => first_page(&api, account.user.id, page.rows_to_read()).await?,
        after => (store::list_owned(&api.reads, account.user.id, after, page.rows_to_read()).await?, None),
    };
    let next = page.cut(&mut servers, |server| server.vmid);
    let recorded: Vec<OperationId> = servers.iter().map(|server| server.operation_id).collect();
    let pending = creations.map(|creations| {
        let pending = creations.into_iter().filter_map(PendingServer::new);
        pending.filter(|pending| !recorded.contains(&pending.operation())).collect()
    });
    let servers = api.all_observed(servers).await.into_iter().map(|(server, seen)| ServerView::new(server, seen));
    Ok(web::Json(ServerList { servers: servers.collect(), pending, next }))
}

/// The first servers of `owner` and what is being created for them.
async fn first_page(
    api: &ServersApi,
    owner: UserId,
    limit: u64,
) -> ApiResult<(Vec<instance::Model>, Option<Vec<Creation>>)> {
    let now = api.clock.now();
    let any = creations::any(owner, CREATE_KIND, now);
    let (servers, creating) = store::first_owned(&api.reads, owner, limit, any).await?;
    if !creating {
        return Ok((servers, Some(Vec::new())));
    }
    // The servers once more, and last: one that is recorded between two reads is then in both, not in neither.
    let creations = creations::creations(&api.reads, owner, CREATE_KIND, now).await?;
    Ok((store::list_owned(&api.reads, owner, None, limit).await?, Some(creations)))
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
