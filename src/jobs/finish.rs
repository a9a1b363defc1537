//! Ending an operation, or giving it back: one transaction under the owner's fence.

use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait, SimpleExpr};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter};

use crate::db;
use crate::db::entities::operation::{self, Cleanup, OperationState, Unwind};
use crate::db::entities::{debt, operation_step};
use crate::kernel::{Backoff, DebtId, OperationId, Timestamp};

use super::claim::{ClaimPurpose, Claimed, millis};
use super::context::{Lost, owned_by};
use super::job::{JobEnd, JobFailure, Leftover, UnwindEnd};
use super::slots;

/// After this many vanished owners or failed attempts an undo waits for an operator.
pub(super) const UNWIND_ATTEMPTS: i32 = 10;

/// The wait before an undo is tried again.
const UNWIND_BACKOFF: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(600));

/// What a worker writes when it lets go of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The run is over.
    Ended {
        /// The end state.
        state: OperationState,
        /// Why, unless it succeeded.
        failure: Option<JobFailure>,
        /// What came of its effects.
        undo: UnwindEnd,
    },
    /// The undo of an operation that had ended before is over, or has to go on later.
    Unwound(UnwindEnd),
    /// Another worker shall go on at the same place; the start does not count.
    HandedBack,
}

impl End {
    /// What to write for the way a run ended; `None` when the lease is lost and nothing may be written.
    pub fn of_run(end: JobEnd) -> Option<Self> {
        match end {
            JobEnd::Succeeded => {
                Some(Self::Ended { state: OperationState::Succeeded, failure: None, undo: UnwindEnd::Nothing })
            }
            JobEnd::Failed { failure, undo } => {
                Some(Self::Ended { state: OperationState::Failed, failure: Some(failure), undo })
            }
            JobEnd::Cancelled { undo } => Some(Self::Ended { state: OperationState::Cancelled, failure: None, undo }),
            JobEnd::HandedBack => Some(Self::HandedBack),
            JobEnd::Lost => None,
        }
    }
}

/// The `unwind` and `cleanup` columns that follow from an undo, and when a worker shall look again.
fn aftermath(undo: &UnwindEnd, attempts: i32) -> (Unwind, Cleanup, Duration) {
    match undo {
        UnwindEnd::Nothing => (Unwind::None, Cleanup::None, Duration::ZERO),
        UnwindEnd::Complete => (Unwind::Done, Cleanup::Done, Duration::ZERO),
        UnwindEnd::Interrupted => (Unwind::Due, Cleanup::Pending, Duration::ZERO),
        UnwindEnd::Incomplete { .. } if attempts >= UNWIND_ATTEMPTS => {
            (Unwind::Held, Cleanup::Required, Duration::ZERO)
        }
        UnwindEnd::Incomplete { .. } => {
            (Unwind::Due, Cleanup::Pending, UNWIND_BACKOFF.plain(u32::try_from(attempts).unwrap_or(0)))
        }
    }
}

/// Writes `end` for the owner of `claimed` and gives back its slot. [`Lost`] when another owner is current.
pub async fn finish(
    db: &DatabaseConnection,
    claimed: &Claimed,
    end: &End,
    now: Timestamp,
) -> Result<Result<(), Lost>, DbErr> {
    let row = &claimed.operation;
    let tx = db::begin(db).await?;
    let clock = db::now_expr(&tx);
    let release = operation::Entity::update_many()
        .col_expr(operation::Column::LeaseUntil, Expr::value(None::<i64>))
        .col_expr(operation::Column::Worker, Expr::value(None::<String>))
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
        End::Ended { state, failure, undo } => {
            let (unwind, cleanup, wait) = aftermath(undo, 0);
            let ended = with_failure(release, failure.as_ref())
                .col_expr(operation::Column::State, Expr::value(*state))
                .col_expr(operation::Column::FinishedAt, clock.clone())
                .col_expr(operation::Column::Unwind, Expr::value(unwind))
                .col_expr(operation::Column::Cleanup, Expr::value(cleanup))
                .col_expr(operation::Column::Crashes, Expr::value(0))
                .col_expr(operation::Column::RunAfter, clock.add(millis(wait)));
            (ended, Some(undo))
        }
        End::Unwound(undo) => {
            let failed = matches!(undo, UnwindEnd::Incomplete { .. });
            let attempts = row.crashes + i32::from(failed);
            let (unwind, cleanup, wait) = aftermath(undo, attempts);
            let unwound = release
                .col_expr(operation::Column::Unwind, Expr::value(unwind))
                .col_expr(operation::Column::Cleanup, Expr::value(cleanup))
                .col_expr(operation::Column::Crashes, Expr::value(attempts))
                .col_expr(operation::Column::RunAfter, clock.add(millis(wait)));
            (unwound, Some(undo))
        }
    };
    if written.exec(&tx).await?.rows_affected != 1 {
        tx.rollback().await?;
        return Ok(Err(Lost));
    }
    slots::release(&tx, row.id).await?;
    match undo {
        Some(UnwindEnd::Complete | UnwindEnd::Nothing) => settle_debts(&tx, row.id, now).await?,
        Some(UnwindEnd::Incomplete { reason, leftovers }) => {
            record_debts(&tx, row.id, leftovers, Some(reason), now).await?;
        }
        Some(UnwindEnd::Interrupted) | None => {}
    }
    tx.commit().await?;
    Ok(Ok(()))
}

/// Gives an operation back to its queue from outside a run, as [`End::HandedBack`] does or for a later undo.
pub async fn hand_back(db: &DatabaseConnection, claimed: &Claimed, now: Timestamp) -> Result<Result<(), Lost>, DbErr> {
    let end = match claimed.purpose {
        ClaimPurpose::Run => End::HandedBack,
        ClaimPurpose::Unwind => End::Unwound(UnwindEnd::Interrupted),
    };
    finish(db, claimed, &end, now).await
}

type Update = sea_orm::UpdateMany<operation::Entity>;

/// Adds the error columns.
pub(super) fn with_failure(update: Update, failure: Option<&JobFailure>) -> Update {
    let text = |value: Option<&str>| -> SimpleExpr { Expr::value(value.map(str::to_owned)) };
    update
        .col_expr(operation::Column::ErrorCode, text(failure.map(|f| f.code.as_str())))
        .col_expr(operation::Column::ErrorMessage, text(failure.map(|f| f.message.as_str())))
        .col_expr(operation::Column::ErrorPhase, text(failure.and_then(|f| f.phase.as_deref())))
}

/// Writes one debt per leftover, unless it is on record already.
pub(super) async fn record_debts(
    tx: &impl ConnectionTrait,
    id: OperationId,
    leftovers: &[Leftover],
    reason: Option<&str>,
    now: Timestamp,
) -> Result<(), DbErr> {
    let known = debt::Entity::find().filter(debt::Column::OperationId.eq(id)).all(tx).await?;
    for leftover in leftovers {
        if known.iter().any(|debt| debt.kind == leftover.kind && debt.vmid == leftover.vmid) {
            continue;
        }
        let row = debt::ActiveModel {
            id: Set(DebtId::generate()),
            operation_id: Set(id),
            kind: Set(leftover.kind),
            vmid: Set(leftover.vmid),
            node: Set(leftover.node.clone()),
            detail: Set(leftover.detail.clone()),
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

async fn settle_debts(tx: &impl ConnectionTrait, id: OperationId, now: Timestamp) -> Result<(), DbErr> {
    debt::Entity::update_many()
        .col_expr(debt::Column::State, Expr::value(debt::DebtState::Settled))
        .col_expr(debt::Column::UpdatedAt, Expr::value(now))
        .filter(debt::Column::OperationId.eq(id))
        .filter(debt::Column::State.eq(debt::DebtState::Open))
        .exec(tx)
        .await
        .map(drop)
}

/// Whether any step of the operation may have reached outside.
pub(super) async fn reached_outside(tx: &impl ConnectionTrait, id: OperationId) -> Result<bool, DbErr> {
    let step = operation_step::Entity::find()
        .filter(operation_step::Column::OperationId.eq(id))
        .filter(operation_step::Column::Outside.eq(true))
        .one(tx)
        .await?;
    Ok(step.is_some())
}
