//! Accepting an operation: one row, in the caller's transaction.

use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::db;
use crate::db::entities::operation::{self, Cleanup, OperationState, Unwind};
use crate::jobs::Queue;
use crate::kernel::{OperationId, Timestamp, UserId};

use super::error::OperationError;
use super::events::{self, EventKind};

/// The largest payload in bytes; MariaDB's `TEXT` ends at 65 535.
const MAX_PAYLOAD: usize = 60_000;

/// What shall be done, and for whom.
#[derive(Clone, Debug)]
pub struct NewOperation<P> {
    /// The kind of job.
    pub kind: &'static str,
    /// The queue that hands it out.
    pub queue: Queue,
    /// Version of the payload.
    pub schema_version: i32,
    /// What the job reads.
    pub payload: P,
    /// For whom it runs.
    pub user_id: Option<UserId>,
    /// How often it may be started.
    pub max_starts: i32,
    /// Number of steps, for progress.
    pub step_count: usize,
    /// One operation per key may be under way, see [`dedup_key`].
    pub dedup_key: Option<String>,
}

/// An operation that is under way now.
#[derive(Clone, Debug)]
pub struct Begun {
    /// Its row.
    pub operation: operation::Model,
    /// Whether this call wrote it, or an equal request was under way already.
    pub fresh: bool,
}

/// A key of fixed length for `parts`.
pub fn dedup_key(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(hash.finalize())
}

/// Writes the operation, or returns the one under way with the same key. When two callers begin the same key at one
/// moment, one fails with a duplicate error and must repeat its transaction (`db::is_duplicate`).
pub async fn begin<P: Serialize>(
    tx: &impl ConnectionTrait,
    new: NewOperation<P>,
    now: Timestamp,
) -> Result<Begun, OperationError> {
    if let Some(key) = &new.dedup_key
        && let Some(operation) = under_way(tx, key).await?
    {
        return Ok(Begun { operation, fresh: false });
    }
    let payload = serde_json::to_string(&new.payload).map_err(OperationError::Payload)?;
    if payload.len() > MAX_PAYLOAD {
        return Err(OperationError::PayloadTooLarge { bytes: payload.len(), limit: MAX_PAYLOAD });
    }
    let row = operation::Model {
        id: OperationId::generate(),
        kind: new.kind.to_owned(),
        queue: new.queue.to_string(),
        schema_version: new.schema_version,
        payload,
        state: OperationState::Queued,
        phase: None,
        unwind: Unwind::None,
        cleanup: Cleanup::None,
        run_after: db::now(tx).await?,
        fence: 0,
        lease_until: None,
        worker: None,
        starts: 0,
        crashes: 0,
        max_starts: new.max_starts,
        offered_at: None,
        offer_count: 0,
        cancel_requested: false,
        dedup_key: new.dedup_key,
        user_id: new.user_id,
        vmid: None,
        step_count: i32::try_from(new.step_count).unwrap_or(i32::MAX),
        saga_state: None,
        error_code: None,
        error_message: None,
        error_phase: None,
        heartbeat_at: None,
        created_at: now,
        started_at: None,
        finished_at: None,
        event_seq: 0,
    };
    insert(tx, &row).await?;
    events::record(tx, row.id, EventKind::Queued, &serde_json::json!({}), now).await?;
    Ok(Begun { operation: row, fresh: true })
}

/// The same; `None` when an equal request was faster, and the transaction has to be repeated.
pub async fn try_begin<P: Serialize>(
    tx: &impl ConnectionTrait,
    new: NewOperation<P>,
    now: Timestamp,
) -> Result<Option<Begun>, OperationError> {
    match begin(tx, new, now).await {
        Err(OperationError::Database(error)) if db::is_duplicate(&error) || db::is_conflict(&error) => Ok(None),
        begun => begun.map(Some),
    }
}

async fn under_way(tx: &impl ConnectionTrait, key: &str) -> Result<Option<operation::Model>, DbErr> {
    operation::Entity::find()
        .filter(operation::Column::DedupKey.eq(key))
        .filter(operation::Column::State.is_in([OperationState::Queued, OperationState::Running]))
        .one(tx)
        .await
}

async fn insert(tx: &impl ConnectionTrait, row: &operation::Model) -> Result<(), DbErr> {
    let active = row.clone().into_active_model().reset_all();
    operation::Entity::insert(active).exec_without_returning(tx).await.map(drop)
}
