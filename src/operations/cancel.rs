//! Stopping an operation: at once while it is queued, at the next step while it runs.

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter};

use crate::db;
use crate::db::entities::operation::{self, OperationState};
use crate::jobs;
use crate::jobs::lifecycle::remains;
use crate::kernel::{OperationId, Timestamp};

use super::events::{self, EventKind};

/// The kinds of operations that go on once they have begun: there is nothing to go back to.
const ONWARD: &[&str] = &["teardown"];

/// Whether `row` goes on whatever is asked of it.
pub fn goes_on(row: &operation::Model) -> bool {
    ONWARD.contains(&row.kind.as_str()) && row.started_at.is_some()
}

/// What a request to cancel came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelOutcome {
    /// It was waiting and never runs again; steps of an earlier run are undone.
    Cancelled,
    /// It runs; it stops at the next step and is undone.
    Requested,
    /// It had ended already.
    Ended,
    /// It has begun, and is of a kind that goes on then.
    GoesOn,
}

/// Cancels `id`, in the caller's transaction. After commit no later claim of a queued one runs it.
pub async fn cancel(tx: &impl ConnectionTrait, id: OperationId, now: Timestamp) -> Result<CancelOutcome, DbErr> {
    let may_stop = || {
        let unstarted = operation::Column::StartedAt.is_null();
        Condition::any().add(unstarted).add(operation::Column::Kind.is_not_in(ONWARD.iter().copied()))
    };
    let queued = operation::Entity::update_many()
        .col_expr(operation::Column::CancelRequested, Expr::value(true))
        .col_expr(operation::Column::State, Expr::value(OperationState::Cancelled))
        .col_expr(operation::Column::FinishedAt, Expr::value(now))
        // An undo does not wait for the time of the run that it replaces.
        .col_expr(operation::Column::RunAfter, db::now_expr(tx))
        .filter(operation::Column::Id.eq(id))
        .filter(operation::Column::State.eq(OperationState::Queued))
        .filter(may_stop())
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
            .filter(may_stop())
            .exec(tx)
            .await?;
        match running.rows_affected {
            1 => CancelOutcome::Requested,
            _ => {
                let row = operation::Entity::find_by_id(id).one(tx).await?;
                let goes_on = row.is_some_and(|row| !row.state.is_ended() && goes_on(&row));
                if goes_on { CancelOutcome::GoesOn } else { CancelOutcome::Ended }
            }
        }
    };
    match outcome {
        CancelOutcome::Cancelled | CancelOutcome::Requested => {
            events::record(tx, id, EventKind::CancelRequested, &serde_json::json!({}), now).await?;
        }
        CancelOutcome::Ended | CancelOutcome::GoesOn => {}
    }
    Ok(outcome)
}
