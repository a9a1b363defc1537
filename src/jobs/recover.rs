//! Operations whose owner vanished: fence it out, and decide what becomes of the operation.

use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::db;
use crate::db::entities::operation::{self, Cleanup, OperationState, Unwind};
use crate::kernel::{Backoff, Timestamp};

use super::claim::millis;
use super::context::{in_progress, owned_by};
use super::failpoint::Failpoints;
use super::finish::{UNWIND_ATTEMPTS, reached_outside, record_debts, with_failure};
use super::job::{CrashPolicy, Job, JobFailure, Registry};
use super::queue::Queue;
use super::settings::JobSettings;
use super::slots;

/// After this many vanished owners an operation is not started again (jobs.md 2b.8, poison).
const MAX_CRASHES: i32 = 3;

const CRASH_BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// What becomes of an operation whose owner vanished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Queued again; the start counts only when an effect may have happened.
    Requeue {
        /// Whether the lost start counts.
        counts: bool,
    },
    /// It never runs again; a worker undoes what it left.
    Stale,
    /// Its undo goes on later.
    UnwindAgain,
    /// Its undo failed too often: an operator must decide.
    Hold,
}

/// The rule: pure, so that it can be read and modelled (jobs.md 2b.8).
pub fn decide(row: &operation::Model, policy: CrashPolicy, reached_outside: bool) -> Recovery {
    let crashes = row.crashes + 1;
    if row.unwind == Unwind::Running {
        return if crashes >= UNWIND_ATTEMPTS { Recovery::Hold } else { Recovery::UnwindAgain };
    }
    match policy {
        _ if crashes >= MAX_CRASHES => Recovery::Stale,
        CrashPolicy::Resume => Recovery::Requeue { counts: false },
        CrashPolicy::UnwindOutsideEffects if reached_outside => Recovery::Stale,
        CrashPolicy::UnwindOutsideEffects => Recovery::Requeue { counts: false },
    }
}

/// Recovers up to 50 operations of the queue whose lease has run out. Returns how many.
pub async fn recover_expired(
    db: &DatabaseConnection,
    name: Queue,
    registry: &Registry,
    settings: &JobSettings,
    now: Timestamp,
    failpoints: &Failpoints,
) -> Result<usize, DbErr> {
    let expired = operation::Entity::find()
        .filter(operation::Column::Queue.eq(name.as_str()))
        .filter(in_progress())
        .filter(Expr::col(operation::Column::LeaseUntil).lt(db::now_expr(db)))
        .order_by_asc(operation::Column::LeaseUntil)
        .limit(50)
        .all(db)
        .await?;
    let mut recovered = 0;
    for row in expired {
        let Some(job) = registry.find(&row.kind, row.schema_version) else { continue };
        recovered += usize::from(recover(db, &row, job.as_ref(), settings, now, failpoints).await?);
    }
    Ok(recovered)
}

async fn recover(
    db: &DatabaseConnection,
    row: &operation::Model,
    job: &dyn Job,
    settings: &JobSettings,
    now: Timestamp,
    failpoints: &Failpoints,
) -> Result<bool, DbErr> {
    let tx = db::begin(db).await?;
    let clock = db::now_expr(&tx);
    let outside = reached_outside(&tx, row.id).await?;
    let recovery = decide(row, job.crash_policy(), outside);
    let wait = CRASH_BACKOFF.plain(u32::try_from(row.crashes).unwrap_or(0));
    let update = operation::Entity::update_many()
        .col_expr(operation::Column::Fence, Expr::col(operation::Column::Fence).add(1))
        .col_expr(operation::Column::LeaseUntil, Expr::value(None::<i64>))
        .col_expr(operation::Column::Worker, Expr::value(None::<String>))
        .col_expr(operation::Column::OfferedAt, Expr::value(None::<i64>))
        .col_expr(operation::Column::OfferCount, Expr::value(0))
        .filter(owned_by(row.id, row.fence))
        .filter(Expr::col(operation::Column::LeaseUntil).lt(clock.clone()));
    let update = match recovery {
        Recovery::Requeue { counts } => update
            .col_expr(operation::Column::State, Expr::value(OperationState::Queued))
            .col_expr(operation::Column::Starts, Expr::col(operation::Column::Starts).sub(i32::from(!counts)))
            .col_expr(operation::Column::Crashes, Expr::value(row.crashes + 1))
            .col_expr(operation::Column::RunAfter, clock.add(millis(wait))),
        Recovery::Stale => {
            let failure = JobFailure {
                code: "worker_lost".to_owned(),
                message: "the worker that ran this operation vanished; what it had begun is being removed".to_owned(),
                phase: row.phase.clone(),
            };
            let (unwind, cleanup) = match (outside, settings.unwind) {
                (false, _) => (Unwind::None, Cleanup::None),
                (true, true) => (Unwind::Due, Cleanup::Pending),
                (true, false) => (Unwind::Held, Cleanup::Required),
            };
            with_failure(update, Some(&failure))
                .col_expr(operation::Column::State, Expr::value(OperationState::Stale))
                .col_expr(operation::Column::Unwind, Expr::value(unwind))
                .col_expr(operation::Column::Cleanup, Expr::value(cleanup))
                .col_expr(operation::Column::Crashes, Expr::value(0))
                .col_expr(operation::Column::FinishedAt, clock.clone())
                .col_expr(operation::Column::RunAfter, clock)
        }
        Recovery::UnwindAgain => update
            .col_expr(operation::Column::Unwind, Expr::value(Unwind::Due))
            .col_expr(operation::Column::Crashes, Expr::value(row.crashes + 1))
            .col_expr(operation::Column::RunAfter, clock.add(millis(wait))),
        Recovery::Hold => update
            .col_expr(operation::Column::Unwind, Expr::value(Unwind::Held))
            .col_expr(operation::Column::Cleanup, Expr::value(Cleanup::Required)),
    };
    if update.exec(&tx).await?.rows_affected != 1 {
        tx.rollback().await?;
        return Ok(false);
    }
    slots::release(&tx, row.id).await?;
    failpoints.hit("recover.fenced").await;
    if recovery == Recovery::Stale && outside {
        record_debts(&tx, row.id, &job.leftovers(row), None, now).await?;
    }
    tx.commit().await?;
    tracing::warn!(operation.id = %row.id, ?recovery, "the owner of {} vanished", row.id);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::OperationId;

    fn row(unwind: Unwind, crashes: i32) -> operation::Model {
        let zero = Timestamp::from_millis(0);
        operation::Model {
            id: OperationId::generate(),
            kind: "provision".to_owned(),
            queue: "provision".to_owned(),
            schema_version: 1,
            payload: "{}".to_owned(),
            state: OperationState::Running,
            phase: None,
            unwind,
            cleanup: Cleanup::None,
            run_after: zero,
            fence: 1,
            lease_until: Some(zero),
            worker: None,
            starts: 1,
            crashes,
            max_starts: 1,
            offered_at: None,
            offer_count: 0,
            cancel_requested: false,
            dedup_key: None,
            user_id: None,
            vmid: None,
            step_count: 0,
            saga_state: None,
            error_code: None,
            error_message: None,
            error_phase: None,
            heartbeat_at: None,
            created_at: zero,
            started_at: None,
            finished_at: None,
            event_seq: 0,
        }
    }

    #[test]
    fn a_provision_that_reached_outside_is_never_started_again() {
        let policy = CrashPolicy::UnwindOutsideEffects;
        assert_eq!(decide(&row(Unwind::None, 0), policy, true), Recovery::Stale);
        assert_eq!(decide(&row(Unwind::None, 0), policy, false), Recovery::Requeue { counts: false });
    }

    #[test]
    fn poison_stops_after_three_crashes_and_an_undo_after_ten() {
        assert_eq!(decide(&row(Unwind::None, 2), CrashPolicy::Resume, false), Recovery::Stale);
        assert_eq!(decide(&row(Unwind::Running, 2), CrashPolicy::Resume, true), Recovery::UnwindAgain);
        assert_eq!(decide(&row(Unwind::Running, 9), CrashPolicy::Resume, true), Recovery::Hold);
    }
}
