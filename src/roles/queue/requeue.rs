//! Handing an operation to the workers again by hand. A run is never repeated: only what still waits is offered again,
//! and only an undo that was held is tried again.

use anyhow::{Context, bail};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter};
use serde::Serialize;
use serde_json::json;

use crate::db;
use crate::db::entities::operation::{self, Cleanup, OperationState, UndoState};
use crate::jobs::{Lists, Queue};
use crate::kernel::{OperationId, Timestamp};
use crate::roles::audited;

/// What was handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Requeued {
    /// The operation itself.
    Run,
    /// The undo of what it left behind.
    Undo,
}

impl Requeued {
    pub(super) fn human(self, id: OperationId) -> String {
        match self {
            Self::Run => format!("{id} is offered again."),
            Self::Undo => format!("Workers try again to undo {id}."),
        }
    }
}

/// What may be handed out of this row; `None` when nothing may.
fn judge(row: &operation::Model) -> Option<Requeued> {
    match (row.state, row.unwind) {
        (OperationState::Queued, _) if row.starts < row.max_starts && !row.cancel_requested => Some(Requeued::Run),
        (OperationState::Queued | OperationState::Running, _) => None,
        (
            OperationState::Succeeded | OperationState::Failed | OperationState::Cancelled | OperationState::Stale,
            unwind,
        ) => match unwind {
            UndoState::Held | UndoState::Due => Some(Requeued::Undo),
            UndoState::None | UndoState::Running | UndoState::Done => None,
        },
    }
}

/// Hands operation `id` out again.
pub(super) async fn requeue(
    db: &DatabaseConnection,
    lists: &Lists,
    id: OperationId,
    now: Timestamp,
) -> anyhow::Result<Requeued> {
    let tx = db::begin(db).await.context("the database did not begin a transaction")?;
    let row = operation::Entity::find_by_id(id).one(&tx).await.context("the operation could not be read")?;
    let Some(row) = row else { bail!("there is no operation {id}; zpack ops list shows those there are") };
    let Some(requeued) = judge(&row) else {
        bail!("{id} is {} (undo {}): there is nothing to hand out; see zpack ops show {id}", row.state, row.unwind);
    };
    let mut update = operation::Entity::update_many()
        .col_expr(operation::Column::RunAfter, db::now_expr(&tx))
        .col_expr(operation::Column::OfferedAt, Expr::value(None::<i64>))
        .col_expr(operation::Column::OfferCount, Expr::value(0))
        .filter(operation::Column::Id.eq(id))
        .filter(operation::Column::Fence.eq(row.fence))
        .filter(operation::Column::State.eq(row.state))
        .filter(operation::Column::Unwind.eq(row.unwind));
    if requeued == Requeued::Undo {
        update = update
            .col_expr(operation::Column::Unwind, Expr::value(UndoState::Due))
            .col_expr(operation::Column::Cleanup, Expr::value(Cleanup::Pending))
            .col_expr(operation::Column::Crashes, Expr::value(0));
    }
    let written = update.exec(&tx).await.context("the operation could not be changed")?;
    if written.rows_affected != 1 {
        bail!("{id} changed meanwhile; look at it again: zpack ops show {id}");
    }
    let detail = json!({"requeued": requeued, "state": row.state, "unwind": row.unwind});
    audited::record(&tx, "operation.requeue", &id.to_string(), detail, now).await.context("the audit log failed")?;
    tx.commit().await.context("the database did not commit")?;
    if let Some(queue) = Queue::ALL.iter().find(|queue| queue.as_str() == row.queue)
        && let Err(error) = lists.offer(*queue, &[id]).await
    {
        tracing::warn!(operation.id = %id, %error, "could not offer {id}; the sweeper of a worker will");
    }
    Ok(requeued)
}
