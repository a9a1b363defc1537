//! Operations whose owner vanished: fence it out, and decide what becomes of the operation.

use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait, LockBehavior, LockType};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};

use crate::db;
use crate::db::entities::operation::{self, Cleanup, OperationState, Unwind};
use crate::jobs::failpoint::Failpoints;
use crate::jobs::job::{Job, JobFailure};
use crate::jobs::lifecycle::{Footprint, Recovery, Standing, decide, remains};
use crate::jobs::queue::Queue;
use crate::jobs::registry::Registry;
use crate::jobs::settings::JobSettings;
use crate::kernel::{Backoff, OperationId, Timestamp};

use super::finish::{footprint, record_debts, with_failure};
use super::owner::{in_progress, owned_by};
use super::slots;

const CRASH_BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

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
    let Some(row) = lock_abandoned(&tx, row.id, row.fence).await? else {
        tx.rollback().await?;
        return Ok(false);
    };
    let clock = db::now_expr(&tx);
    let footprint = footprint(&tx, row.id).await?;
    let recovery = decide(&Standing::of(&row, now), job.crash_policy(), footprint);
    let wait = CRASH_BACKOFF.plain(u32::try_from(row.crashes).unwrap_or(0));
    let update = operation::Entity::update_many()
        .col_expr(operation::Column::Fence, Expr::col(operation::Column::Fence).add(1))
        .col_expr(operation::Column::LeaseUntil, Expr::value(None::<i64>))
        .col_expr(operation::Column::Worker, Expr::value(None::<String>))
        .col_expr(operation::Column::OfferedAt, Expr::value(None::<i64>))
        .col_expr(operation::Column::OfferCount, Expr::value(0))
        .filter(owned_by(row.id, row.fence));
    let update = match recovery {
        Recovery::Requeue => update
            .col_expr(operation::Column::State, Expr::value(OperationState::Queued))
            .col_expr(operation::Column::Starts, Expr::col(operation::Column::Starts).sub(1))
            .col_expr(operation::Column::Crashes, Expr::value(row.crashes + 1))
            .col_expr(operation::Column::RunAfter, clock.add(db::millis(wait))),
        Recovery::Stale => {
            let failure = JobFailure {
                code: "worker_lost".to_owned(),
                message: "the worker that ran this operation vanished; what it had begun is being removed".to_owned(),
                phase: row.phase.clone(),
            };
            let (unwind, cleanup) = remains(footprint, settings.unwind);
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
            .col_expr(operation::Column::RunAfter, clock.add(db::millis(wait))),
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
    if matches!(recovery, Recovery::Stale | Recovery::Hold) && footprint == Footprint::Outside {
        record_debts(&tx, row.id, &job.leftovers(&row), None, now).await?;
    }
    tx.commit().await?;
    tracing::warn!(operation.id = %row.id, ?recovery, "the owner of {} vanished", row.id);
    Ok(true)
}

/// The row, locked, if its owner with `fence` vanished. A vanished owner may only be standing still inside the write of
/// a step: what it has begun can be judged only after its transaction is over. While that is open the row is skipped,
/// so that one such owner does not hold up the recovery of the others.
async fn lock_abandoned(
    tx: &impl ConnectionTrait,
    id: OperationId,
    fence: i64,
) -> Result<Option<operation::Model>, DbErr> {
    operation::Entity::find()
        .filter(owned_by(id, fence))
        .filter(Expr::col(operation::Column::LeaseUntil).lt(db::now_expr(tx)))
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .one(tx)
        .await
}
