//! Writes the row of an operation in the caller's transaction.

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ActiveModelTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter};

use crate::db::entities::operation::{self, Actor, Cleanup, OperationState, UndoState};
use crate::db::{self, ReadError};
use crate::jobs::{Lists, Work};
use crate::kernel::{OperationId, Timestamp};

use super::episodes::{EpisodeClaim, claim_episode};
use super::error::OperationError;
use super::events::{self, EventKind};
use super::key::hashed;
use super::order::Order;

/// The largest payload in bytes; MariaDB's `TEXT` ends at 65 535.
const MAX_PAYLOAD: usize = 60_000;

/// The operation that answers an order.
#[derive(Clone, Debug)]
pub struct Begun {
    /// Its row.
    pub operation: operation::Model,
    /// Whether this call wrote it; otherwise an equal operation is unfinished, or its episode had one.
    pub fresh: bool,
}

/// Writes the operation, begun by `by`, or returns the unfinished one that does the same, or the one that its episode
/// had. When two callers begin the same at one moment, one fails with a duplicate error and must repeat its transaction
/// (`db::is_duplicate`).
///
/// After the commit the caller notifies the workers with [`offer`].
pub async fn begin<W: Work>(
    tx: &impl ConnectionTrait,
    order: &Order<W>,
    by: Actor,
    now: Timestamp,
) -> Result<Begun, OperationError> {
    let parts = order.work.dedup().parts(order.keyed);
    let key = parts.map(|parts| hashed(std::iter::once(W::KIND).chain(parts.iter().map(String::as_str))));
    if let Some(key) = &key
        && let Some(operation) = under_way(tx, key).await?
    {
        return Ok(Begun { operation, fresh: false });
    }
    let row = row(order, by, key, db::now(tx).await?, now)?;
    if let Some(episode) = &order.episode
        && let EpisodeClaim::Already(first) = claim_episode(tx, W::KIND, episode, row.id, now).await?
    {
        let operation = db::readable_one(operation::Entity::find_by_id(first), tx).await?;
        let operation = operation.ok_or_else(|| DbErr::RecordNotFound(format!("operation {first} of an episode")))?;
        return Ok(Begun { operation, fresh: false });
    }
    operation::Entity::insert(row.clone().into_active_model().reset_all()).exec_without_returning(tx).await?;
    events::record(tx, row.id, EventKind::Queued, &serde_json::json!({}), now).await?;
    Ok(Begun { operation: row, fresh: true })
}

/// The same; `None` if an equal request was faster, so that the transaction has to be repeated.
pub(super) async fn try_begin<W: Work>(
    tx: &impl ConnectionTrait,
    order: &Order<W>,
    by: Actor,
    now: Timestamp,
) -> Result<Option<Begun>, OperationError> {
    match begin(tx, order, by, now).await {
        Err(OperationError::Database(error)) if db::is_duplicate(&error) || db::is_conflict(&error) => Ok(None),
        begun => begun.map(Some),
    }
}

/// Offers a new operation to the workers of its queue, after the commit of its row; one that starts later is not
/// offered yet. If this fails, or is never called, the sweeper offers the operation within about a second.
pub async fn offer<W: Work>(lists: &Lists, order: &Order<W>, begun: &Begun) {
    if !begun.fresh || !order.delay.is_zero() {
        return;
    }
    let id = begun.operation.id;
    if let Err(error) = lists.offer_new(W::QUEUE, id).await {
        tracing::warn!(operation.id = %id, %error, "could not offer {id} to the workers; the sweeper will");
    }
}

/// The row of `order`. `db_now` is the time of the database, by which workers measure waits.
fn row<W: Work>(
    order: &Order<W>,
    by: Actor,
    dedup_key: Option<String>,
    db_now: Timestamp,
    now: Timestamp,
) -> Result<operation::Model, OperationError> {
    let payload = serde_json::to_string(&order.work).map_err(OperationError::Payload)?;
    if payload.len() > MAX_PAYLOAD {
        return Err(OperationError::PayloadTooLarge { bytes: payload.len(), limit: MAX_PAYLOAD });
    }
    let vmid = order.work.vmid();
    Ok(operation::Model {
        id: OperationId::generate(),
        kind: W::KIND.to_owned(),
        queue: W::QUEUE.to_string(),
        schema_version: W::VERSION,
        payload,
        request: Some(order.work.shown().to_string()),
        begun_by: by,
        cancel_rule: W::CANCEL,
        state: OperationState::Queued,
        phase: None,
        unwind: UndoState::None,
        cleanup: Cleanup::None,
        run_after: db_now.after(order.delay),
        fence: 0,
        lease_until: None,
        worker: None,
        claimed_at: None,
        starts: 0,
        crashes: 0,
        max_starts: W::MAX_STARTS,
        offered_at: None,
        offer_count: 0,
        cancel_requested: false,
        committed: false,
        dedup_key,
        user_id: order.owner,
        vmid,
        step_count: i32::try_from(order.work.steps()).unwrap_or(i32::MAX),
        saga_state: None,
        error_code: None,
        error_message: None,
        error_phase: None,
        heartbeat_at: None,
        created_at: now,
        started_at: None,
        finished_at: None,
        event_seq: 0,
        dismissed_at: None,
    })
}

async fn under_way(tx: &impl ConnectionTrait, key: &str) -> Result<Option<operation::Model>, ReadError> {
    // The generated column is the key while the operation is unfinished, and unique.
    db::readable_one(operation::Entity::find().filter(Expr::col("dedup_active").eq(key)), tx).await
}
