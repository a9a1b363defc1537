//! Giving up an operation by hand: nothing runs or undoes it any more. What only existed in our records is released;
//! what may exist outside stays a listed debt and keeps its VMID.

use anyhow::{Context, bail};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter};
use serde_json::json;

use super::view::{DebtView, OperationView};
use crate::db::entities::debt::DebtState;
use crate::db::entities::operation::{self, Cleanup, OperationState, UndoState};
use crate::db::entities::operation_step;
use crate::db::{self, Authority};
use crate::jobs::locks;
use crate::kernel::{OperationId, Timestamp};
use crate::roles::audited;
use crate::servers::{ports, store, vmids};

/// What came of it.
pub(super) struct Abandoned {
    pub(super) operation: OperationView,
    pub(super) debts: Vec<DebtView>,
}

/// What giving up means for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AbandonResult {
    /// It was never begun, or was handed back: it ends as cancelled.
    Cancel,
    /// It has ended; nobody undoes it any more.
    StopUndo,
    /// A worker is at it.
    AtWork,
    /// There is nothing left to give up.
    Settled,
}

/// The rule.
fn judge(row: &operation::Model) -> AbandonResult {
    match (row.state, row.unwind) {
        (OperationState::Queued, _) => AbandonResult::Cancel,
        (OperationState::Running, _) | (_, UndoState::Running) => AbandonResult::AtWork,
        (_, UndoState::Due | UndoState::Held) => AbandonResult::StopUndo,
        (_, UndoState::None | UndoState::Done) => AbandonResult::Settled,
    }
}

/// Gives up operation `id`.
pub(super) async fn abandon(
    db: &DatabaseConnection,
    id: OperationId,
    reason: Option<&str>,
    now: Timestamp,
) -> anyhow::Result<Abandoned> {
    let tx = db::begin(db).await.context("the database did not begin a transaction")?;
    let row = operation::Entity::find_by_id(id).one(&tx).await.context("the operation could not be read")?;
    let Some(row) = row else { bail!("there is no operation {id}; zpack ops list shows those there are") };
    let result = judge(&row);
    match result {
        AbandonResult::Cancel | AbandonResult::StopUndo => {}
        AbandonResult::AtWork => bail!(
            "a worker is at work on {id}{}; cancel the operation, or wait: when the worker is gone, another takes over \
             at the end of the lease",
            row.worker.as_ref().map(|worker| format!(" ({worker})")).unwrap_or_default()
        ),
        AbandonResult::Settled => bail!("{id} is {} and nothing of it is left to give up", row.state),
    }
    let debts = super::debts::of(&tx, id).await.context("its leftovers could not be read")?;
    let owing = debts.iter().any(|debt| debt.state == DebtState::Open);
    if !write(&tx, &row, result, owing).await.context("the operation could not be given up")? {
        bail!("{id} changed while it was being given up; look at it again: zpack ops show {id}");
    }
    release(&tx, id, owing, now).await.context("what it held could not be released")?;
    let detail = json!({"state": row.state, "unwind": row.unwind, "openDebts": debts.len(), "reason": reason});
    audited::record(&tx, "operation.abandon", &id.to_string(), detail, now).await.context("the audit log failed")?;
    let after = operation::Entity::find_by_id(id).one(&tx).await.context("the operation could not be read")?;
    tx.commit().await.context("the database did not commit")?;
    let operation = OperationView::from(after.unwrap_or(row));
    Ok(Abandoned { operation, debts })
}

/// Ends the row, unless somebody changed it since it was read.
async fn write(
    tx: &impl ConnectionTrait,
    row: &operation::Model,
    result: AbandonResult,
    owing: bool,
) -> Result<bool, DbErr> {
    let cleanup = match (owing, row.cleanup) {
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
            .col_expr(operation::Column::ErrorMessage, Expr::value("an operator gave the operation up"))
            .col_expr(operation::Column::FinishedAt, db::now_expr(tx));
    }
    Ok(update.exec(tx).await?.rows_affected == 1)
}

/// A transaction that has ended an operation for an operator: no worker owns it, and none ever will.
struct Operator<'a, C>(&'a C);

impl<C: ConnectionTrait> Authority for Operator<'_, C> {
    type Connection = C;

    fn connection(&self) -> &C {
        self.0
    }
}

/// Frees its locks, and its VMID and public port when nothing outside can have them.
async fn release(tx: &impl ConnectionTrait, id: OperationId, owing: bool, now: Timestamp) -> Result<(), DbErr> {
    locks::release_all(tx, id).await?;
    let reached_outside = operation_step::Entity::find()
        .filter(operation_step::Column::OperationId.eq(id))
        .filter(operation_step::Column::Outside.eq(true))
        .one(tx)
        .await?
        .is_some();
    let serves = store::find_by_operation(tx, id).await?.is_some();
    if owing || reached_outside || serves {
        return Ok(());
    }
    ports::release(&Operator(tx), id, now).await?;
    vmids::release(&Operator(tx), id, now).await
}
