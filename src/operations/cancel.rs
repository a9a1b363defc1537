//! Stopping an operation: at once while it is queued, at the next step while it runs.

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};

use crate::db::entities::operation::{self, OperationState};
use crate::jobs;
use crate::jobs::lifecycle::remains;
use crate::kernel::{OperationId, Timestamp};

use super::events::{self, EventKind};

/// What a request to cancel came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelOutcome {
    /// It was waiting and never runs again; steps of an earlier run are undone.
    Cancelled,
    /// It runs; it stops at the next step and is undone.
    Requested,
    /// It had ended already.
    Ended,
}

/// Cancels `id`, in the caller's transaction. After commit no later claim of a queued one runs it.
pub async fn cancel(tx: &impl ConnectionTrait, id: OperationId, now: Timestamp) -> Result<CancelOutcome, DbErr> {
    let queued = operation::Entity::update_many()
        .col_expr(operation::Column::CancelRequested, Expr::value(true))
        .col_expr(operation::Column::State, Expr::value(OperationState::Cancelled))
        .col_expr(operation::Column::FinishedAt, Expr::value(now))
        .filter(operation::Column::Id.eq(id))
        .filter(operation::Column::State.eq(OperationState::Queued))
        .exec(tx)
        .await?;
    if queued.rows_affected == 1 {
        // Read under the lock of the row: before it, a worker could have run steps and handed back.
        let (unwind, cleanup) = remains(jobs::footprint(tx, id).await?, true);
        operation::Entity::update_many()
            .col_expr(operation::Column::Unwind, Expr::value(unwind))
            .col_expr(operation::Column::Cleanup, Expr::value(cleanup))
            .filter(operation::Column::Id.eq(id))
            .exec(tx)
            .await?;
    }
    let outcome = if queued.rows_affected == 1 {
        CancelOutcome::Cancelled
    } else {
        let running = operation::Entity::update_many()
            .col_expr(operation::Column::CancelRequested, Expr::value(true))
            .filter(operation::Column::Id.eq(id))
            .filter(operation::Column::State.eq(OperationState::Running))
            .exec(tx)
            .await?;
        if running.rows_affected == 1 { CancelOutcome::Requested } else { CancelOutcome::Ended }
    };
    match outcome {
        CancelOutcome::Cancelled | CancelOutcome::Requested => {
            events::record(tx, id, EventKind::CancelRequested, &serde_json::json!({}), now).await?;
        }
        CancelOutcome::Ended => {}
    }
    Ok(outcome)
}
