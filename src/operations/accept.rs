//! Turns a request into an accepted operation: first answer, transaction, races, audit log, commit, offer, 202.

use actix_web::HttpResponse;
use sea_orm::{DatabaseConnection, DatabaseTransaction, DbErr};
use serde_json::json;

use super::begin::{Begun, offer, try_begin};
use super::idempotency::{self, FirstAnswer, KeyState, KeyUse, key_reused};
use super::order::Order;
use super::requester::Requester;
use super::store;
use super::view::OperationView;
use crate::audit;
use crate::db;
use crate::db::entities::operation::Actor;
use crate::jobs::{Failpoints, Lists, Work};
use crate::kernel::{Clock, Timestamp, VmId};
use crate::web::{ApiError, ApiResult, Code};

/// How often a request is repeated after it lost a race against an equal one.
const RACES: usize = 5;

/// Accepts work for the handlers of every feature.
#[derive(Clone)]
pub struct Acceptor {
    /// The database.
    pub db: DatabaseConnection,
    /// The ready lists of the workers.
    pub lists: Lists,
    /// The clock of the process.
    pub clock: Clock,
    /// Places where tests kill, stop or hold the process.
    pub failpoints: Failpoints,
}

impl Acceptor {
    /// Answers a request of `by` with an operation for the order of `decide`. `decide` runs in the transaction that
    /// writes the operation, and again after a lost race; an error of it is the answer, and nothing is written. A
    /// request whose `key` was answered before gets that answer again, without a call of `decide`.
    pub async fn accept<W: Work>(
        &self,
        by: &Requester,
        key: Option<&KeyUse>,
        decide: impl AsyncFn(&DatabaseTransaction) -> ApiResult<Order<W>>,
    ) -> ApiResult<HttpResponse> {
        self.accept_checked(by, key, async || Ok(()), async |tx, ()| decide(tx).await).await
    }

    /// The same, with a `check` that runs once before the transaction, and not for a request that was answered before.
    pub async fn accept_checked<W: Work, C>(
        &self,
        by: &Requester,
        key: Option<&KeyUse>,
        check: impl AsyncFnOnce() -> ApiResult<C>,
        decide: impl AsyncFn(&DatabaseTransaction, &C) -> ApiResult<Order<W>>,
    ) -> ApiResult<HttpResponse> {
        if let Some(answer) = self.answered(key).await? {
            return Ok(answer);
        }
        let checked = check().await?;
        for _ in 0..RACES {
            let tx = db::begin(&self.db).await?;
            let order = decide(&tx, &checked).await?.keyed(key.is_some());
            if let Some(answer) = self.write(tx, order, by, key).await? {
                return Ok(answer.response());
            }
            if let Some(answer) = self.answered(key).await? {
                return Ok(answer);
            }
        }
        Err(ApiError::new(Code::Overloaded, "Equal requests arrived at the same moment; please send it again."))
    }

    /// The first answer to `key`, if there is one.
    async fn answered(&self, key: Option<&KeyUse>) -> ApiResult<Option<HttpResponse>> {
        let Some(key) = key else { return Ok(None) };
        match idempotency::find(&self.db, &key.id, &key.digest, self.clock.now()).await? {
            KeyState::Fresh => Ok(None),
            KeyState::Replay(answer) => Ok(Some(answer.replay())),
            KeyState::Reused => Err(key_reused()),
        }
    }

    /// Writes the operation, the first answer and the audit entry in `tx`; `None` if an equal request was faster.
    async fn write<W: Work>(
        &self,
        tx: DatabaseTransaction,
        mut order: Order<W>,
        by: &Requester,
        key: Option<&KeyUse>,
    ) -> ApiResult<Option<FirstAnswer>> {
        let now = self.clock.now();
        let Some(begun) = try_begin(&tx, &order, by.actor, now).await? else { return Ok(None) };
        if !begun.fresh
            && let Some(busy) = order.busy
        {
            return Err(busy.operation(begun.operation.id));
        }
        let answer = FirstAnswer::accepted(view(&tx, &begun, by.actor).await?).map_err(ApiError::internal)?;
        // Before the check of new work, which must not count the operation of an equal request against this one.
        if let Some(key) = key
            && !idempotency::insert(&tx, &key.id, &key.digest, &answer, now).await?
        {
            return Ok(None);
        }
        if begun.fresh {
            if let Some(refusal) = order.refusal.take() {
                return Err(refusal);
            }
            record(&tx, &order, by, &begun, now).await?;
        }
        tx.commit().await?;
        if begun.fresh {
            log(&order, by, &begun);
            self.failpoints.hit("enqueue.committed").await;
            offer(&self.lists, &order, &begun).await;
            self.failpoints.hit("enqueue.rung").await;
        }
        Ok(Some(answer))
    }
}

/// The fields of a request that are choices from a list; free text of customers is not logged.
const CHOICES: [&str; 5] = ["action", "game", "variant", "runtime", "version"];

/// Logs a committed operation.
fn log<W: Work>(order: &Order<W>, by: &Requester, begun: &Begun) {
    let (id, kind, vmid) = (begun.operation.id, W::KIND, order.work.vmid());
    let server = vmid.map(|vmid| format!(" of {vmid}")).unwrap_or_default();
    let shown = order.work.shown();
    let choices = CHOICES.iter().filter_map(|name| shown.get(name)?.as_str());
    let choices = choices.collect::<Vec<_>>().join(" ");
    let (vmid, actor) = (vmid.map(VmId::get), by.name.as_str());
    tracing::info!(
        operation.id = %id, operation.kind = kind, vmid, actor,
        "accepted {id}: {kind}{server} ({choices}) for {actor}"
    );
}

/// The view of a new operation, which has neither steps nor debts.
async fn view(tx: &DatabaseTransaction, begun: &Begun, viewer: Actor) -> ApiResult<OperationView> {
    let row = begun.operation.clone();
    if begun.fresh {
        return Ok(OperationView::new(row, Vec::new(), Vec::new(), viewer));
    }
    store::view(tx, row, viewer).await?.ok_or_else(|| ApiError::not_found("operation"))
}

async fn record<W: Work>(
    tx: &DatabaseTransaction,
    order: &Order<W>,
    by: &Requester,
    begun: &Begun,
    now: Timestamp,
) -> Result<(), DbErr> {
    let Some(action) = order.act else { return Ok(()) };
    let id = begun.operation.id;
    let entry = audit::Entry {
        actor: by.name.clone(),
        action,
        subject: order.work.vmid().map_or_else(|| id.to_string(), |vmid| format!("server:{vmid}")),
        outcome: audit::AuditOutcome::Done,
        request: None,
        detail: json!({ "operation": id }),
    };
    audit::record(tx, entry, now).await
}
