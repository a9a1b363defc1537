//! Ends an operation or hands it back: one statement, or one transaction, under the fence of its owner.

use sea_orm::sea_query::{Expr, ExprTrait, Query, SelectStatement, SimpleExpr};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, PaginatorTrait,
    QueryFilter, QueryOrder,
};

use crate::db;
use crate::db::entities::operation::{self, Cleanup, OperationState};
use crate::db::entities::{debt, operation_step};
use crate::jobs::end::End;
use crate::jobs::job::{JobFailure, NewDebt, UndoEnd};
use crate::jobs::lifecycle::{Footprint, aftermath, undo_attempts, wait_until_again};
use crate::kernel::{DebtId, OperationId, Timestamp};

use super::claim::Claimed;
use super::one_statement::Update;
use super::owner::{LeaseLost, OwnerError, owned_by};
use super::{one_statement, slots};

/// Writes `end` for the owner of `claimed` and releases its slot. Fails with [`LeaseLost`] if another owner is current.
pub async fn finish(db: &DatabaseConnection, claimed: &Claimed, end: &End, now: Timestamp) -> Result<(), OwnerError> {
    let row = &claimed.operation;
    let clock = db::now_expr(db);
    let release = operation::Entity::update_many()
        .col_expr(operation::Column::LeaseUntil, Expr::value(None::<i64>))
        .col_expr(operation::Column::Worker, Expr::value(None::<String>))
        .col_expr(operation::Column::ClaimedAt, Expr::value(None::<i64>))
        .col_expr(operation::Column::OfferedAt, Expr::value(None::<i64>))
        .col_expr(operation::Column::OfferCount, Expr::value(0))
        .filter(owned_by(row.id, row.fence));
    let (written, undo) = match end {
        End::HandedBack => {
            let back = release
                .col_expr(operation::Column::State, Expr::value(OperationState::Queued))
                .col_expr(operation::Column::Starts, Expr::col(operation::Column::Starts).sub(1));
            (back, None)
        }
        End::Again { after } => {
            let later = clock.clone().add(db::millis(wait_until_again(false, *after)));
            let at_once = clock.add(db::millis(wait_until_again(true, *after)));
            let asked = operation::Column::CancelRequested.eq(true);
            let again = release
                .col_expr(operation::Column::State, Expr::value(OperationState::Queued))
                .col_expr(operation::Column::Starts, Expr::col(operation::Column::Starts).sub(1))
                .col_expr(operation::Column::Crashes, Expr::value(0))
                .col_expr(operation::Column::RunAfter, Expr::case(asked, at_once).finally(later).into());
            (again, None)
        }
        End::Ended { state, failure, undo } => {
            let (unwind, cleanup, wait) = aftermath(undo, 0);
            let ended = with_failure(release, failure.as_ref())
                .col_expr(operation::Column::State, Expr::value(*state))
                .col_expr(operation::Column::FinishedAt, clock.clone())
                .col_expr(operation::Column::Unwind, Expr::value(unwind))
                .col_expr(operation::Column::Cleanup, Expr::value(cleanup))
                .col_expr(operation::Column::Crashes, Expr::value(0))
                .col_expr(operation::Column::RunAfter, clock.add(db::millis(wait)));
            (ended, Some(undo))
        }
        End::Undone(undo) => {
            let attempts = undo_attempts(row.crashes, undo);
            let (unwind, cleanup, wait) = aftermath(undo, attempts);
            let undone = release
                .col_expr(operation::Column::Unwind, Expr::value(unwind))
                .col_expr(operation::Column::Cleanup, Expr::value(cleanup))
                .col_expr(operation::Column::Crashes, Expr::value(attempts))
                .col_expr(operation::Column::RunAfter, clock.add(db::millis(wait)));
            (undone, Some(undo))
        }
    };
    let without_debts = !matches!(undo, Some(UndoEnd::Incomplete { .. }));
    if one_statement::is_supported(db) && without_debts {
        let ended = written.clone().filter(Expr::exists(open_debts(row.id)).not());
        if one_statement::finish(db, ended, row.id).await? {
            return Ok(());
        }
        // Its lease is lost, or it has open debts: the transaction decides.
    }
    let tx = db::begin(db).await?;
    if written.exec(&tx).await?.rows_affected != 1 {
        tx.rollback().await?;
        return Err(LeaseLost.into());
    }
    slots::release(&tx, row.id).await?;
    match undo {
        Some(UndoEnd::Complete | UndoEnd::Nothing) => {
            settle_debts(&tx, row.id, now).await?;
            note_debts(&tx, row.id).await?;
        }
        Some(UndoEnd::Incomplete { reason, debts }) => {
            record_debts(&tx, row.id, debts, Some(reason), now).await?;
        }
        Some(UndoEnd::Interrupted) | None => {}
    }
    tx.commit().await?;
    Ok(())
}

/// The open debts of `id`.
fn open_debts(id: OperationId) -> SelectStatement {
    Query::select()
        .expr(Expr::value(1))
        .from(debt::Entity)
        .and_where(debt::Column::OperationId.eq(id))
        .and_where(debt::Column::State.eq(debt::DebtState::Open))
        .take()
}

/// Adds the error columns.
pub(super) fn with_failure(update: Update, failure: Option<&JobFailure>) -> Update {
    let text = |value: Option<&str>| -> SimpleExpr { Expr::value(value.map(str::to_owned)) };
    update
        .col_expr(operation::Column::ErrorCode, text(failure.map(|f| f.code.as_str())))
        .col_expr(operation::Column::ErrorMessage, text(failure.map(|f| f.message.as_str())))
        .col_expr(operation::Column::ErrorPhase, text(failure.and_then(|f| f.phase.as_deref())))
}

/// Records the debts that are not recorded yet.
pub(super) async fn record_debts(
    tx: &impl ConnectionTrait,
    id: OperationId,
    debts: &[NewDebt],
    reason: Option<&str>,
    now: Timestamp,
) -> Result<(), DbErr> {
    let known = db::readable(debt::Entity::find().filter(debt::Column::OperationId.eq(id)), tx).await?;
    for new in debts {
        if known.iter().any(|debt| debt.kind == new.kind && debt.vmid == new.vmid) {
            continue;
        }
        let row = debt::ActiveModel {
            id: Set(DebtId::generate()),
            operation_id: Set(id),
            kind: Set(new.kind),
            vmid: Set(new.vmid),
            node: Set(new.node.clone()),
            detail: Set(new.detail.clone()),
            subject: Set(None),
            state: Set(debt::DebtState::Open),
            attempts: Set(0),
            next_attempt_at: Set(None),
            last_error: Set(reason.map(str::to_owned)),
            created_at: Set(now),
            updated_at: Set(now),
        };
        debt::Entity::insert(row).exec_without_returning(tx).await?;
    }
    Ok(())
}

/// Settles the debts of an operation that has been undone. A debt with a subject stays open: a job left it for the debt
/// collector, regardless of how the operation ended.
async fn settle_debts(tx: &impl ConnectionTrait, id: OperationId, now: Timestamp) -> Result<(), DbErr> {
    debt::Entity::update_many()
        .col_expr(debt::Column::State, Expr::value(debt::DebtState::Settled))
        .col_expr(debt::Column::UpdatedAt, Expr::value(now))
        .filter(debt::Column::OperationId.eq(id))
        .filter(debt::Column::State.eq(debt::DebtState::Open))
        .filter(debt::Column::Subject.is_null())
        .exec(tx)
        .await
        .map(drop)
}

/// Marks an operation that leaves open debts as pending. The row is locked, so that this cannot interleave with the
/// transaction that settles the last of them.
async fn note_debts(tx: &impl ConnectionTrait, id: OperationId) -> Result<(), DbErr> {
    let open = debt::Entity::find()
        .filter(debt::Column::OperationId.eq(id))
        .filter(debt::Column::State.eq(debt::DebtState::Open));
    if open.count(tx).await? == 0 {
        return Ok(());
    }
    operation::Entity::update_many()
        .col_expr(operation::Column::Cleanup, Expr::value(Cleanup::Pending))
        .filter(operation::Column::Id.eq(id))
        .exec(tx)
        .await
        .map(drop)
}

/// The steps that an operation has begun, according to its journal.
pub async fn footprint(tx: &impl ConnectionTrait, id: OperationId) -> Result<Footprint, DbErr> {
    let step = operation_step::Entity::find()
        .filter(operation_step::Column::OperationId.eq(id))
        .order_by_desc(operation_step::Column::Outside)
        .one(tx)
        .await?;
    Ok(match step {
        None => Footprint::None,
        Some(step) if step.outside => Footprint::External,
        Some(_) => Footprint::Internal,
    })
}
