//! An operator abandons an operation: no worker runs or undoes it any more. What exists only in our database is
//! released; what may exist outside remains an open debt and keeps its VMID.

use anyhow::{Context, bail};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter};
use serde_json::json;

use super::view::{DebtDetails, OperationDetails};
use crate::db::entities::debt::DebtState;
use crate::db::entities::operation::{self, Cleanup, OperationState, UndoState};
use crate::db::entities::operation_step;
use crate::db::{self, Authority};
use crate::jobs::locks;
use crate::kernel::{OperationId, Timestamp};
use crate::roles::audited;
use crate::servers::{ports, store, vmids};

/// The operation after it was abandoned, with its debts.
pub(super) struct Abandoned {
    pub(super) operation: OperationDetails,
    pub(super) debts: Vec<DebtDetails>,
}

/// What abandoning does to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AbandonResult {
    /// It never started, or was handed back: it ends as cancelled.
    Cancel,
    /// It has ended: its undo stops.
    StopUndo,
    /// A worker owns it, so it cannot be abandoned.
    AtWork,
    /// It has ended and there is nothing to undo.
    Settled,
}

/// What abandoning would do to `row`.
fn judge(row: &operation::Model) -> AbandonResult {
    match (row.state, row.unwind) {
        (OperationState::Queued, _) => AbandonResult::Cancel,
        (OperationState::Running, _) | (_, UndoState::Running) => AbandonResult::AtWork,
        (_, UndoState::Due | UndoState::Held) => AbandonResult::StopUndo,
        (_, UndoState::None | UndoState::Done) => AbandonResult::Settled,
    }
}

/// Abandons operation `id`.
pub(super) async fn abandon(
    db: &DatabaseConnection,
    id: OperationId,
    reason: Option<&str>,
    now: Timestamp,
) -> anyhow::Result<Abandoned> {
    let tx = db::begin(db).await.context("cannot begin a transaction")?;
    let row = operation::Entity::find_by_id(id).one(&tx).await.context("cannot read the operation")?;
    let Some(row) = row else { bail!("there is no operation {id}; zpack ops list shows all operations") };
    let result = judge(&row);
    match result {
        AbandonResult::Cancel | AbandonResult::StopUndo => {}
        AbandonResult::AtWork => bail!(
            "{id} is owned by a worker{}; cancel the operation, or wait: if the worker has crashed, another one takes over \
             when its lease expires",
            row.worker.as_ref().map(|worker| format!(" ({worker})")).unwrap_or_default()
        ),
        AbandonResult::Settled => bail!("{id} is {}; there is nothing to abandon", row.state),
    }
    let debts = super::debts::of(&tx, id).await.context("cannot read its debts")?;
    let has_open_debts = debts.iter().any(|debt| debt.state == DebtState::Open);
    if !write(&tx, &row, result, has_open_debts).await.context("cannot abandon the operation")? {
        bail!("{id} changed in the meantime; check it with zpack ops show {id} and try again");
    }
    release(&tx, id, has_open_debts, now).await.context("cannot release what the operation held")?;
    let detail = json!({"state": row.state, "unwind": row.unwind, "openDebts": debts.len(), "reason": reason});
    audited::record(&tx, "operation.abandon", &id.to_string(), detail, now)
        .await
        .context("cannot write to the audit log")?;
    let after = operation::Entity::find_by_id(id).one(&tx).await.context("cannot read the operation")?;
    tx.commit().await.context("cannot commit the transaction")?;
    let operation = OperationDetails::from(after.unwrap_or(row));
    Ok(Abandoned { operation, debts })
}

/// Ends the operation, unless its row changed since it was read.
async fn write(
    tx: &impl ConnectionTrait,
    row: &operation::Model,
    result: AbandonResult,
    has_open_debts: bool,
) -> Result<bool, DbErr> {
    let cleanup = match (has_open_debts, row.cleanup) {
        (true, _) => Cleanup::Required,
        (false, Cleanup::Pending | Cleanup::Required) => Cleanup::Done,
        (false, before @ (Cleanup::None | Cleanup::Done)) => before,
    };
    let mut update = operation::Entity::update_many()
        .col_expr(operation::Column::Fence, Expr::col(operation::Column::Fence).add(1))
        .col_expr(operation::Column::Unwind, Expr::value(UndoState::None))
        .col_expr(operation::Column::Cleanup, Expr::value(cleanup))
        .filter(operation::Column::Id.eq(row.id))
        .filter(operation::Column::Fence.eq(row.fence))
        .filter(operation::Column::State.eq(row.state))
        .filter(operation::Column::Unwind.eq(row.unwind));
    if result == AbandonResult::Cancel {
        update = update
            .col_expr(operation::Column::State, Expr::value(OperationState::Cancelled))
            .col_expr(operation::Column::ErrorCode, Expr::value("abandoned"))
            .col_expr(operation::Column::ErrorMessage, Expr::value("an operator abandoned the operation"))
            .col_expr(operation::Column::FinishedAt, db::now_expr(tx));
    }
    Ok(update.exec(tx).await?.rows_affected == 1)
}

/// A transaction that ended an operation on behalf of an operator: no worker owns it, and none will.
struct Operator<'a, C>(&'a C);

impl<C: ConnectionTrait> Authority for Operator<'_, C> {
    type Connection = C;

    fn connection(&self) -> &C {
        self.0
    }
}

/// Releases its locks, and its VMID and public port if nothing outside can be using them.
async fn release(
    tx: &impl ConnectionTrait,
    id: OperationId,
    has_open_debts: bool,
    now: Timestamp,
) -> Result<(), DbErr> {
    locks::release_all(tx, id).await?;
    let reached_outside = operation_step::Entity::find()
        .filter(operation_step::Column::OperationId.eq(id))
        .filter(operation_step::Column::Outside.eq(true))
        .one(tx)
        .await?
        .is_some();
    let serves = store::find_by_operation(tx, id).await?.is_some();
    if has_open_debts || reached_outside || serves {
        return Ok(());
    }
    ports::release(&Operator(tx), id, now).await?;
    vmids::release(&Operator(tx), id, now).await
}
