//! Writing what becomes of an operation whose job cannot say how it ended.

use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait, LockType};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter, QuerySelect};

use crate::db;
use crate::db::entities::operation;
use crate::jobs::job::{Job, JobFailure};
use crate::jobs::lifecycle::{Footprint, Recovery, Standing, decide_panic};
use crate::jobs::settings::JobSettings;
use crate::kernel::{Backoff, Timestamp};

use super::claim::Claimed;
use super::finish::{footprint, record_debts, with_failure};
use super::owner::{Lost, owned_by};
use super::slots;

const CRASH_BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// Why the job cannot say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Its owner vanished.
    Vanished,
    /// Its owner lives and has not stopped long after its deadline.
    Overran,
    /// It panicked.
    Panicked,
}

impl Cause {
    /// What the user reads of an operation that ends by it.
    fn failure(self, recovery: Recovery, phase: Option<String>) -> JobFailure {
        let (code, reason) = match self {
            Self::Vanished => ("worker_lost", "the worker that ran this operation vanished"),
            Self::Overran => ("deadline_exceeded", "this operation did not stop after its deadline had passed"),
            Self::Panicked => ("internal_error", "this operation was stopped by an internal error"),
        };
        let message = match recovery {
            Recovery::Stale | Recovery::FailAndUndo => format!("{reason}; what it had begun is being removed"),
            Recovery::Fail | Recovery::Requeue | Recovery::UnwindAgain | Recovery::Hold => reason.to_owned(),
        };
        JobFailure { code: code.to_owned(), message, phase }
    }
}

/// An operation under the lock of its row, and what the rules said of it.
pub(super) struct Settlement<'a> {
    pub(super) row: &'a operation::Model,
    pub(super) standing: Standing,
    pub(super) job: &'a dyn Job,
    pub(super) cause: Cause,
    pub(super) recovery: Recovery,
    pub(super) footprint: Footprint,
    pub(super) settings: &'a JobSettings,
    pub(super) now: Timestamp,
}

impl Settlement<'_> {
    /// Takes the operation from its owner and writes what the rules said. Returns whether the owner was still current.
    pub(super) async fn write(&self, tx: &impl ConnectionTrait) -> Result<bool, DbErr> {
        let Self { row, recovery, footprint, .. } = self;
        let clock = db::now_expr(tx);
        let after = self.standing.recovered(*recovery, *footprint, self.settings.unwind);
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
            Recovery::Requeue | Recovery::UnwindAgain => {
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
        if matches!(recovery, Recovery::Stale | Recovery::Hold) && *footprint == Footprint::Outside {
            record_debts(tx, row.id, &self.job.leftovers(row), None, self.now).await?;
        }
        Ok(true)
    }
}

/// Ends, for its owner, an operation whose job panicked, and gives back its slot. [`Lost`] when another owner is current.
pub async fn end_panicked(
    db: &DatabaseConnection,
    claimed: &Claimed,
    job: &dyn Job,
    settings: &JobSettings,
    now: Timestamp,
) -> Result<Result<Recovery, Lost>, DbErr> {
    let tx = db::begin(db).await?;
    let current = owned_by(claimed.operation.id, claimed.operation.fence);
    let Some(row) = operation::Entity::find().filter(current).lock(LockType::Update).one(&tx).await? else {
        tx.rollback().await?;
        return Ok(Err(Lost));
    };
    let footprint = footprint(&tx, row.id).await?;
    let standing = Standing::of(&row, &job.deadlines(), settings.grace, now);
    let recovery = decide_panic(&standing, job.crash_policy(), footprint);
    let settlement =
        Settlement { row: &row, standing, job, cause: Cause::Panicked, recovery, footprint, settings, now };
    if !settlement.write(&tx).await? {
        tx.rollback().await?;
        return Ok(Err(Lost));
    }
    tx.commit().await?;
    Ok(Ok(recovery))
}
