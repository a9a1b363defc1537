//! Cancels an operation: immediately while it is queued, at the next step while it runs.

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};

use crate::db;
use crate::db::entities::operation::{self, Actor, OperationState};
use crate::jobs;
use crate::jobs::lifecycle::remains;
use crate::kernel::{OperationId, Timestamp};

use super::events::{self, EventKind};
use super::policy::{CancelFacts, CancelOutcome, may_cancel};

/// Cancels `id` for `actor`, in the caller's transaction. After the commit, a queued operation cannot be claimed for a
/// run any more.
pub async fn cancel(
    tx: &impl ConnectionTrait,
    id: OperationId,
    actor: Actor,
    now: Timestamp,
) -> Result<CancelOutcome, DbErr> {
    let update = || operation::Entity::update_many().filter(operation::Column::Id.eq(id));
    // An update locks the row on every database: until the end of the caller's transaction, no worker can claim the
    // operation, write a step of it, hand it back or end it.
    let asked = operation::Column::CancelRequested;
    update().col_expr(asked, Expr::col(asked)).exec(tx).await?;
    let Some(row) = operation::Entity::find_by_id(id).one(tx).await? else { return Ok(CancelOutcome::Ended) };
    let outcome = may_cancel(actor, CancelFacts::of(&row));
    let requested = update().col_expr(asked, Expr::value(true));
    let change = match outcome {
        CancelOutcome::Cancelled => {
            let (unwind, cleanup) = remains(jobs::footprint(tx, id).await?, true);
            requested
                .col_expr(operation::Column::State, Expr::value(OperationState::Cancelled))
                .col_expr(operation::Column::FinishedAt, Expr::value(now))
                // The undo does not wait for the start time of the run.
                .col_expr(operation::Column::RunAfter, db::now_expr(tx))
                .col_expr(operation::Column::Unwind, Expr::value(unwind))
                .col_expr(operation::Column::Cleanup, Expr::value(cleanup))
        }
        CancelOutcome::Requested => requested,
        CancelOutcome::Ended | CancelOutcome::Refused(_) => return Ok(outcome),
    };
    change.exec(tx).await?;
    events::record(tx, id, EventKind::CancelRequested, &serde_json::json!({}), now).await?;
    Ok(outcome)
}
