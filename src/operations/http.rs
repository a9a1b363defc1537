//! `/api/operations`: shows and cancels operations.

use std::str::FromStr;
use std::time::Duration;

use actix_web::{HttpResponse, web};
use futures_util::{Stream, StreamExt, stream};
use sea_orm::DatabaseConnection;
use serde::Serialize;
use utoipa::ToSchema;

use super::cancel::cancel;
use super::events::{self, EventKind};
use super::idempotency::FirstAnswer;
use super::policy::{CancelOutcome, CancelRefusal};
use super::requester::Requester;
use super::store::{self, Viewer};
use super::view::OperationView;
use crate::accounts::Customer;
use crate::audit;
use crate::db;
use crate::db::entities::operation::{self, Actor};
use crate::db::entities::operation_event;
use crate::kernel::{Clock, OperationId};
use crate::web::sse::{Event, LastEventId, Streams};
use crate::web::{ApiError, ApiResult, Code, Page, Query};

/// How often an open stream reads new events.
const LOOK: Duration = Duration::from_millis(300);

/// The dependencies of the handlers.
#[derive(Clone)]
pub struct OperationsApi {
    /// The database.
    pub db: DatabaseConnection,
    /// The clock of the process.
    pub clock: Clock,
    /// Open event streams.
    pub streams: Streams,
}

/// A page of operations, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct OperationList {
    /// The operations.
    operations: Vec<OperationView>,
    /// The cursor of the next page; null at the end.
    next: Option<String>,
}

fn parse(id: &str) -> ApiResult<OperationId> {
    OperationId::from_str(id).map_err(|_| ApiError::not_found("operation"))
}

/// `GET /api/operations`
pub async fn list(
    api: web::Data<OperationsApi>,
    Customer(account): Customer,
    query: Query,
) -> ApiResult<web::Json<OperationList>> {
    let page: Page<OperationId> = query.page()?;
    let mut operations = store::list(&api.db, (&account).into(), page.after, page.rows_to_read()).await?;
    let next = page.cut(&mut operations, |operation| operation.id);
    Ok(web::Json(OperationList { operations, next }))
}

/// `GET /api/operations/{id}`
pub async fn show(
    api: web::Data<OperationsApi>,
    Customer(account): Customer,
    id: web::Path<String>,
) -> ApiResult<web::Json<OperationView>> {
    let view = store::find_view(&api.db, (&account).into(), parse(&id)?).await?;
    view.map(web::Json).ok_or_else(|| ApiError::not_found("operation"))
}

/// `POST /api/operations/{id}/cancel`
pub async fn stop(
    api: web::Data<OperationsApi>,
    Customer(account): Customer,
    id: web::Path<String>,
) -> ApiResult<HttpResponse> {
    let (viewer, id) = (Viewer::from(&account), parse(&id)?);
    let by = Requester::from(&account);
    let tx = db::begin(&api.db).await?;
    let row = store::find(&tx, viewer, id).await?.ok_or_else(|| ApiError::not_found("operation"))?;
    let outcome = cancel(&tx, id, by.actor, api.clock.now()).await?;
    let refused = match outcome {
        CancelOutcome::Cancelled | CancelOutcome::Requested => None,
        CancelOutcome::Ended => {
            Some((Code::StateConflict, "The operation has ended; there is nothing left to cancel."))
        }
        CancelOutcome::Refused(CancelRefusal::Started) => {
            Some((Code::StateConflict, "This operation has begun and runs to its end; it cannot be stopped half-way."))
        }
        CancelOutcome::Refused(CancelRefusal::Committed) => {
            Some((Code::StateConflict, "The server exists already. Delete the server if you do not need it."))
        }
        CancelOutcome::Refused(CancelRefusal::BegunByAnother) => Some((
            Code::Forbidden,
            "You did not start this operation, so you cannot cancel it. Please contact support.",
        )),
    };
    if let Some(entry) = audited(outcome, by, &row) {
        audit::record(&tx, entry, api.clock.now()).await?;
    }
    tx.commit().await?;
    if let Some((code, detail)) = refused {
        return Err(ApiError::new(code, detail).operation(id));
    }
    let view = store::find_view(&api.db, viewer, id).await?.ok_or_else(|| ApiError::not_found("operation"))?;
    Ok(FirstAnswer::accepted(view).map_err(ApiError::internal)?.response())
}

/// What the audit log says of a request to cancel: every refusal, and what an operator cancelled.
fn audited(outcome: CancelOutcome, by: Requester, row: &operation::Model) -> Option<audit::Entry> {
    let (outcome, why) = match (outcome, by.actor) {
        (CancelOutcome::Refused(CancelRefusal::Started), _) => (audit::AuditOutcome::Refused, "started"),
        (CancelOutcome::Refused(CancelRefusal::Committed), _) => (audit::AuditOutcome::Refused, "committed"),
        (CancelOutcome::Refused(CancelRefusal::BegunByAnother), _) => {
            (audit::AuditOutcome::Refused, "begun_by_another")
        }
        (CancelOutcome::Cancelled | CancelOutcome::Requested, Actor::Operator) => {
            (audit::AuditOutcome::Done, "operator")
        }
        (CancelOutcome::Cancelled | CancelOutcome::Requested | CancelOutcome::Ended, _) => return None,
    };
    let detail = serde_json::json!({ "kind": row.kind, "vmid": row.vmid, "begunBy": row.begun_by, "why": why });
    let (subject, actor) = (row.id.to_string(), by.name);
    Some(audit::Entry { actor, action: "operation.cancel", subject, outcome, request: None, detail })
}

/// `GET /api/operations/{id}/events`: progress as it happens, from the beginning or after `Last-Event-ID`. The last
/// event is `ended` with the operation's status.
pub async fn follow(
    api: web::Data<OperationsApi>,
    Customer(account): Customer,
    LastEventId(after): LastEventId,
    id: web::Path<String>,
) -> ApiResult<HttpResponse> {
    let id = parse(&id)?;
    if store::find(&api.db, (&account).into(), id).await?.is_none() {
        return Err(ApiError::not_found("operation"));
    }
    api.streams.open(progress(api.db.clone(), id, i32::try_from(after).unwrap_or(i32::MAX)))
}

enum Follow {
    After(i32),
    Over,
}

fn progress(db: DatabaseConnection, id: OperationId, after: i32) -> impl Stream<Item = Event> {
    stream::unfold(Follow::After(after), move |follow| {
        let db = db.clone();
        async move {
            let Follow::After(mut after) = follow else { return None };
            loop {
                // The row is read before the events, so that an event cannot be missed between the two reads.
                let row = store::find(&db, Viewer::Operator, id).await.ok().flatten();
                let news = events::after(&db, id, after).await.unwrap_or_default();
                if let Some(last) = news.last() {
                    after = last.seq;
                    let news: Vec<Event> = news.into_iter().map(event).collect();
                    return Some((stream::iter(news), Follow::After(after)));
                }
                if let Some(row) = row.filter(|row| row.state.is_ended()) {
                    let data = serde_json::json!({ "status": row.state, "error": row.error_message }).to_string();
                    let end = Event { id: None, name: "ended", data };
                    return Some((stream::iter(vec![end]), Follow::Over));
                }
                tokio::time::sleep(LOOK).await;
            }
        }
    })
    .flatten()
}

fn event(row: operation_event::Model) -> Event {
    let name = EventKind::from_str(&row.kind).map_or("progress", EventKind::as_str);
    Event { id: Some(i64::from(row.seq)), name, data: row.data }
}
