//! `/api/operations`: shows and cancels operations.

use std::str::FromStr;

use actix_web::http::Method;
use actix_web::{HttpResponse, web};
use futures_util::{Stream, StreamExt, stream};
use sea_orm::DatabaseConnection;
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::cancel::cancel;
use super::creations::{self, Dismissal};
use super::events::{self, EventKind};
use super::feeds::{Feeds, Progress};
use super::idempotency::FirstAnswer;
use super::policy::{CancelOutcome, CancelRefusal};
use super::requester::Requester;
use super::store::{self, Viewer};
use super::view::{OperationView, reads_details, shown_reason};
use crate::accounts::{Customer, Sessions};
use crate::audit;
use crate::db::entities::operation::{self, Actor};
use crate::db::entities::operation_event;
use crate::db::{self, Reads};
use crate::kernel::{Clock, OperationId};
use crate::web::sse::{self, Event, LastEventId, Streams};
use crate::web::{ApiError, ApiResult, Code, Page, Query};

/// The dependencies of the handlers.
#[derive(Clone)]
pub struct OperationsApi {
    /// The database.
    pub db: DatabaseConnection,
    /// The database, for routes that only read.
    pub reads: Reads,
    /// The clock of the process.
    pub clock: Clock,
    /// Open event streams.
    pub streams: Streams,
    /// What they show.
    pub feeds: Feeds,
    /// Whose tokens they use.
    pub sessions: Sessions,
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
    let mut operations = store::list(&api.reads, (&account).into(), page.after, page.rows_to_read()).await?;
    let next = page.cut(&mut operations, |operation| operation.id);
    Ok(web::Json(OperationList { operations, next }))
}

/// `GET /api/operations/{id}`
pub async fn show(
    api: web::Data<OperationsApi>,
    Customer(account): Customer,
    id: web::Path<String>,
) -> ApiResult<web::Json<OperationView>> {
    let view = store::find_view(&api.reads, (&account).into(), parse(&id)?).await?;
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

/// The failure is not shown any more.
#[derive(Debug, Serialize, ToSchema)]
pub struct Dismissed {
    /// Always true.
    ok: bool,
}

/// `POST /api/operations/{id}/dismiss`. Only the owner dismisses: what an operator dismissed would be hidden from its
/// customer.
pub async fn dismiss(
    api: web::Data<OperationsApi>,
    Customer(account): Customer,
    id: web::Path<String>,
) -> ApiResult<web::Json<Dismissed>> {
    let id = parse(&id)?;
    match creations::dismiss(&api.db, account.user.id, id, api.clock.now()).await? {
        Dismissal::Dismissed => Ok(web::Json(Dismissed { ok: true })),
        Dismissal::Unfinished => {
            let detail = "The operation has not ended yet. Cancel it if you do not need it.";
            Err(ApiError::new(Code::StateConflict, detail).operation(id))
        }
        Dismissal::NotFound => Err(ApiError::not_found("operation")),
    }
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
/// event is `ended` with the operation's status. The stream also ends, without it, when its token is not valid any more.
pub async fn follow(
    api: web::Data<OperationsApi>,
    Customer(account): Customer,
    LastEventId(after): LastEventId,
    method: Method,
    id: web::Path<String>,
) -> ApiResult<HttpResponse> {
    let id = parse(&id)?;
    if store::find(&api.db, (&account).into(), id).await?.is_none() {
        return Err(ApiError::not_found("operation"));
    }
    if method == Method::HEAD {
        return Ok(sse::head().finish());
    }
    let session = api.sessions.begin(&account);
    let viewer = Viewer::from(&account).actor();
    let events = progress(api.feeds.follow(id), i32::try_from(after).unwrap_or(i32::MAX), viewer);
    let events = events.take_until(session.ended().cancelled_owned()).map(move |event| {
        let _used_while_streaming = &session;
        event
    });
    api.streams.open(&account.user.id.to_string(), events)
}

enum Follow {
    After(i32, watch::Receiver<Progress>),
    Over,
}

/// The events of `feed` after the one numbered `after`, and how the operation ended, for `viewer`.
fn progress(feed: watch::Receiver<Progress>, after: i32, viewer: Actor) -> impl Stream<Item = Event> {
    stream::unfold(Follow::After(after, feed), move |follow| async move {
        let Follow::After(mut after, mut feed) = follow else { return None };
        loop {
            let (news, end) = {
                let progress = feed.borrow_and_update();
                let news: Vec<_> = progress.events.iter().filter(|event| event.seq > after).cloned().collect();
                (news, progress.end.clone())
            };
            if let Some(last) = news.last() {
                after = last.seq;
                let news: Vec<Event> = news.iter().map(|row| event(row, viewer)).collect();
                return Some((stream::iter(news), Follow::After(after, feed)));
            }
            if let Some(row) = end {
                let reason = row.error_code.map(|code| shown_reason(viewer, &code, row.error_message));
                let data = serde_json::json!({ "status": row.state, "error": reason }).to_string();
                let end = Event { id: None, name: "ended", data };
                return Some((stream::iter(vec![end]), Follow::Over));
            }
            if feed.changed().await.is_err() {
                return None;
            }
        }
    })
    .flatten()
}

fn event(row: &operation_event::Model, viewer: Actor) -> Event {
    let name = EventKind::from_str(&row.kind).map_or("progress", EventKind::as_str);
    let data = if reads_details(viewer) { row.data.clone() } else { events::without_detail(&row.data) };
    Event { id: Some(i64::from(row.seq)), name, data }
}
