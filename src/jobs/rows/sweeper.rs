//! Offers due rows that no worker has received. It guarantees that every accepted operation runs.

use sea_orm::sea_query::{Expr, ExprTrait, SimpleExpr};
use sea_orm::{ColumnTrait, Condition, DatabaseConnection, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::db;
use crate::db::entities::operation::{self, OperationState, UndoState};
use crate::jobs::ClaimPurpose;
use crate::jobs::failpoint::Failpoints;
use crate::jobs::lists::commands::{Lists, PAGE};
use crate::jobs::queue::Queue;
use crate::jobs::registry::Registry;
use crate::kernel::{OperationId, Timestamp};

use super::claim::{known_kinds, paused};

/// The rows that a sweep offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SweepScope {
    /// Due rows that were never offered, or so long ago that the offer was probably lost.
    Overdue,
    /// All due rows, because Redis was restarted or emptied.
    Everything,
}

/// Why a sweep failed.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The database did not answer.
    #[error("due operations of {queue} could not be listed")]
    Database {
        /// The queue.
        queue: Queue,
        /// The cause.
        #[source]
        source: sea_orm::DbErr,
    },
    /// Redis did not answer; the rows stay due.
    #[error("due operations of {queue} could not be offered")]
    Redis {
        /// The queue.
        queue: Queue,
        /// The cause.
        #[source]
        source: redis::RedisError,
    },
}

/// Offers a page of due rows, oldest first. Includes only kinds in `registry`, so that rows which no worker can run do
/// not fill the page. Returns the number of rows that were due for an offer.
pub async fn sweep(
    db: &DatabaseConnection,
    lists: &Lists,
    queue: Queue,
    registry: &Registry,
    sweep: SweepScope,
    failpoints: &Failpoints,
) -> Result<usize, SweepError> {
    let database = |source| SweepError::Database { queue, source };
    let redis = |source| SweepError::Redis { queue, source };
    let ids = due(db, queue, registry, sweep).await.map_err(database)?;
    if ids.is_empty() {
        return Ok(0);
    }
    lists.offer(queue, &ids).await.map_err(redis)?;
    failpoints.hit("sweep.offered").await;
    operation::Entity::update_many()
        .col_expr(operation::Column::OfferedAt, db::now_expr(db))
        .col_expr(operation::Column::OfferCount, Expr::col(operation::Column::OfferCount).add(1))
        .filter(operation::Column::Id.is_in(ids.iter().copied()))
        .filter(startable())
        .exec(db)
        .await
        .map_err(database)?;
    Ok(ids.len())
}

/// Whether the lists of a queue with due rows are empty, as after a flush.
pub(in crate::jobs) async fn lists_lost(
    db: &DatabaseConnection,
    lists: &Lists,
    queue: Queue,
    registry: &Registry,
) -> Result<bool, SweepError> {
    let ready = lists.ready(queue).await.map_err(|source| SweepError::Redis { queue, source })?;
    if ready > 0 {
        return Ok(false);
    }
    let due = due(db, queue, registry, SweepScope::Everything)
        .await
        .map_err(|source| SweepError::Database { queue, source })?;
    Ok(!due.is_empty())
}

/// Rows that may be claimed for `purpose` once they are due: runs that have a start left, or undos. No row may be claimed
/// for both.
pub(super) fn startable_for(purpose: ClaimPurpose) -> SimpleExpr {
    match purpose {
        ClaimPurpose::Run => operation::Column::State
            .eq(OperationState::Queued)
            .and(Expr::col(operation::Column::Starts).lt(Expr::col(operation::Column::MaxStarts))),
        ClaimPurpose::Undo => operation::Column::Unwind.eq(UndoState::Due),
    }
}

/// Rows that may be claimed once they are due.
fn startable() -> Condition {
    ClaimPurpose::ALL.into_iter().fold(Condition::any(), |any, purpose| any.add(startable_for(purpose)))
}

async fn due(
    db: &DatabaseConnection,
    queue: Queue,
    registry: &Registry,
    sweep: SweepScope,
) -> Result<Vec<OperationId>, sea_orm::DbErr> {
    let now = db::now_expr(db);
    let overdue = match sweep {
        SweepScope::Everything => Condition::all(),
        // The n-th offer has 5 s * 2^(n-1), at most 60 s, to be received.
        SweepScope::Overdue => Condition::any().add(operation::Column::OfferedAt.is_null()).add(
            Expr::col(operation::Column::OfferedAt).lte(now.clone().sub(Expr::cust(
                "CASE WHEN offer_count <= 1 THEN 5000 WHEN offer_count = 2 THEN 10000 \
                 WHEN offer_count = 3 THEN 20000 WHEN offer_count = 4 THEN 40000 ELSE 60000 END",
            ))),
        ),
    };
    let mut due: Vec<(Timestamp, OperationId)> = Vec::new();
    // One query for each purpose: an index leads to the rows of a state, and none to those of either state.
    for purpose in ClaimPurpose::ALL {
        let rows: Vec<(Timestamp, OperationId)> = operation::Entity::find()
            .select_only()
            .columns([operation::Column::RunAfter, operation::Column::Id])
            .filter(operation::Column::Queue.eq(queue.as_str()))
            .filter(startable_for(purpose))
            .filter(known_kinds(registry))
            .filter(Expr::col(operation::Column::RunAfter).lte(now.clone()))
            .filter(overdue.clone())
            .filter(Expr::exists(paused(queue)).not())
            .order_by_asc(operation::Column::RunAfter)
            .order_by_asc(operation::Column::Id)
            .limit(PAGE as u64)
            .into_tuple()
            .all(db)
            .await?;
        due.extend(rows);
    }
    due.sort_unstable();
    Ok(due.into_iter().take(PAGE).map(|(_, id)| id).collect())
}
