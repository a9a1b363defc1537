//! An operator requeues an operation. Nothing runs twice: only an operation that has not started is offered again, and
//! only a held undo is tried again.

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

/// What was requeued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Requeued {
    /// The operation itself.
    Run,
    /// Its undo.
    Undo,
}

impl Requeued {
    pub(super) fn human(self, id: OperationId) -> String {
        match self {
            Self::Run => format!("{id} is offered again."),
            Self::Undo => format!("The undo of {id} is tried again."),
        }
    }
}

/// What of this row can be requeued, if anything.
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

/// Requeues operation `id`.
pub(super) async fn requeue(
    db: &DatabaseConnection,
    lists: &Lists,
    id: OperationId,
    now: Timestamp,
) -> anyhow::Result<Requeued> {
    let tx = db::begin(db).await.context("cannot begin a transaction")?;
    let row = operation::Entity::find_by_id(id).one(&tx).await.context("cannot read the operation")?;
    let Some(row) = row else { bail!("there is no operation {id}; zpack ops list shows all operations") };
    let Some(requeued) = judge(&row) else {
        bail!("{id} is {} (undo {}): there is nothing to requeue; see zpack ops show {id}", row.state, row.unwind);
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
    let written = update.exec(&tx).await.context("cannot requeue the operation")?;
    if written.rows_affected != 1 {
        bail!("{id} changed in the meantime; check it with zpack ops show {id} and try again");
    }
    let detail = json!({"requeued": requeued, "state": row.state, "unwind": row.unwind});
    audited::record(&tx, "operation.requeue", &id.to_string(), detail, now)
        .await
        .context("cannot write to the audit log")?;
    tx.commit().await.context("cannot commit the transaction")?;
    if let Some(queue) = Queue::ALL.iter().find(|queue| queue.as_str() == row.queue)
        && let Err(error) = lists.offer(*queue, &[id]).await
    {
        tracing::warn!(operation.id = %id, %error, "cannot offer {id} now; the sweeper will offer it");
    }
    Ok(requeued)
}
