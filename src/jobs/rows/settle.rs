//! Writes the end of an operation whose job did not report it.

use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait, LockType};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter, QuerySelect};

use crate::db;
use crate::db::entities::operation;
use crate::jobs::job::{Job, JobFailure};
use crate::jobs::lifecycle::{Footprint, OperationFacts, Recovery, decide_panic};
use crate::jobs::settings::JobSettings;
use crate::kernel::{Backoff, Timestamp};

use super::claim::Claimed;
use super::finish::{footprint, record_debts, with_failure};
use super::owner::{LeaseLost, OwnerError, owned_by};
use super::slots;

const CRASH_BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// Why the job did not report the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Its owner vanished.
    Vanished,
    /// Its owner is alive but did not stop after its deadline.
    Overran,
    /// The job panicked.
    Panicked,
}

impl Cause {
    /// The failure that the user is shown.
    fn failure(self, recovery: Recovery, phase: Option<String>) -> JobFailure {
        let (code, reason) = match self {
            Self::Vanished => ("worker_lost", "the worker that ran this operation vanished"),
            Self::Overran => ("deadline_exceeded", "this operation did not stop after its deadline"),
            Self::Panicked => ("internal_error", "this operation was stopped by an internal error"),
        };
        let message = match recovery {
            Recovery::Stale | Recovery::FailAndUndo => format!("{reason}; its changes are being undone"),
            Recovery::Fail | Recovery::Requeue | Recovery::UndoAgain | Recovery::Hold => reason.to_owned(),
        };
        JobFailure { code: code.to_owned(), message, phase }
    }
}

/// An operation whose row is locked, and the decision about it.
pub(super) struct Settlement<'a> {
    pub(super) row: &'a operation::Model,
    pub(super) facts: OperationFacts,
    pub(super) job: &'a dyn Job,
    pub(super) cause: Cause,
    pub(super) recovery: Recovery,
    pub(super) footprint: Footprint,
    pub(super) settings: &'a JobSettings,
    pub(super) now: Timestamp,
}

impl Settlement<'_> {
    /// Fences the owner out and writes the decision. Returns whether the owner was still current.
    pub(super) async fn write(&self, tx: &impl ConnectionTrait) -> Result<bool, DbErr> {
        let Self { row, recovery, footprint, .. } = self;
        let clock = db::now_expr(tx);
        let after = self.facts.recovered(*recovery, *footprint, self.settings.undo_stale);
        let update = operation::Entity::update_many()
            .col_expr(operation::Column::State, Expr::value(after.state))
            .col_expr(operation::Column::Unwind, Expr::value(after.unwind))
            .col_expr(operation::Column::Cleanup, Expr::value(after.cleanup))
            .col_expr(operation::Column::Starts, Expr::value(after.starts))
            .col_expr(operation::Column::Crashes, Expr::value(after.crashes))
            .col_expr(operation::Column::Fence, Expr::value(after.fence))
            .col_expr(operation::Column::LeaseUntil, Expr::value(None::<i64>))
            .col_expr(operation::Column::Worker, Expr::value(None::<String>))
            .col_expr(operation::Column::ClaimedAt, Expr::value(None::<i64>))
            .col_expr(operation::Column::OfferedAt, Expr::value(None::<i64>))
            .col_expr(operation::Column::OfferCount, Expr::value(0))
            .filter(owned_by(row.id, row.fence));
        let wait = CRASH_BACKOFF.plain(u32::try_from(row.crashes).unwrap_or(0));
        let update = match recovery {
            Recovery::Requeue | Recovery::UndoAgain => {
                update.col_expr(operation::Column::RunAfter, clock.add(db::millis(wait)))
            }
            Recovery::Fail | Recovery::FailAndUndo | Recovery::Stale => {
                with_failure(update, Some(&self.cause.failure(*recovery, row.phase.clone())))
                    .col_expr(operation::Column::FinishedAt, clock.clone())
                    .col_expr(operation::Column::RunAfter, clock)
            }
            Recovery::Hold => update,
        };
        if update.exec(tx).await?.rows_affected != 1 {
            return Ok(false);
        }
        slots::release(tx, row.id).await?;
        if matches!(recovery, Recovery::Stale | Recovery::Hold) && *footprint == Footprint::External {
            record_debts(tx, row.id, &self.job.possible_debts(row), None, self.now).await?;
        }
        Ok(true)
    }
}

/// Ends an operation whose job panicked, for its owner, and releases its slot. Fails with [`LeaseLost`] if another owner
/// is current.
pub async fn end_panicked(
    db: &DatabaseConnection,
    claimed: &Claimed,
    job: &dyn Job,
    settings: &JobSettings,
    now: Timestamp,
) -> Result<Recovery, OwnerError> {
    let tx = db::begin(db).await?;
    let current = owned_by(claimed.operation.id, claimed.operation.fence);
    let Some(row) = operation::Entity::find().filter(current).lock(LockType::Update).one(&tx).await? else {
        tx.rollback().await?;
        return Err(LeaseLost.into());
    };
    let footprint = footprint(&tx, row.id).await?;
    let facts = OperationFacts::of(&row, &job.deadlines(), settings.grace, now);
    let recovery = decide_panic(&facts, job.crash_policy(), footprint);
    let settlement = Settlement { row: &row, facts, job, cause: Cause::Panicked, recovery, footprint, settings, now };
    if !settlement.write(&tx).await? {
        tx.rollback().await?;
        return Err(LeaseLost.into());
    }
    tx.commit().await?;
    Ok(recovery)
}
