//! Recovery of operations whose owner vanished: fences the owner out and decides how the operation continues.

use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait, LockBehavior, LockType, SimpleExpr};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use crate::db;
use crate::db::entities::operation::{self, UndoState};
use crate::jobs::ClaimPurpose;
use crate::jobs::failpoint::Failpoints;
use crate::jobs::job::Job;
use crate::jobs::lifecycle::{LeaseState, OperationFacts, decide};
use crate::jobs::queue::Queue;
use crate::jobs::registry::Registry;
use crate::jobs::settings::JobSettings;
use crate::kernel::Timestamp;

use super::claim::readable;
use super::finish::footprint;
use super::owner::{in_progress, in_progress_of, owned_by};
use super::settle::{Cause, Settlement};

/// Recovers up to 50 runs and 50 undos of the queue whose owner vanished: its lease has expired, or it has exceeded the
/// deadline of the kind. Returns how many.
pub async fn recover_expired(
    db: &DatabaseConnection,
    name: Queue,
    registry: &Registry,
    settings: &JobSettings,
    now: Timestamp,
    failpoints: &Failpoints,
) -> Result<usize, DbErr> {
    let mut recovered = 0;
    // One query for each purpose: an index leads to the rows of a state, and none to those of either state.
    for purpose in ClaimPurpose::ALL {
        let expired = operation::Entity::find()
            .filter(operation::Column::Queue.eq(name.as_str()))
            .filter(in_progress_of(purpose))
            .filter(abandoned(registry.jobs(), settings.grace, &db::now_expr(db)))
            .order_by_asc(operation::Column::LeaseUntil)
            .limit(50);
        for row in db::readable(expired, db).await? {
            let Some(job) = registry.find(&row.kind, row.schema_version) else { continue };
            recovered += usize::from(recover(db, &row, job.as_ref(), settings, now, failpoints).await?);
        }
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
    let Some(row) = lock_abandoned(&tx, row, job, settings.grace).await? else {
        tx.rollback().await?;
        return Ok(false);
    };
    let footprint = footprint(&tx, row.id).await?;
    let facts = OperationFacts::of(&row, &job.deadlines(), settings.grace, now);
    let recovery = decide(&facts, job.crash_policy(), footprint);
    let cause = if facts.lease == LeaseState::Expired { Cause::Vanished } else { Cause::Overran };
    let settlement = Settlement { row: &row, facts, job, cause, recovery, footprint, settings, now };
    if !settlement.write(&tx).await? {
        tx.rollback().await?;
        return Ok(false);
    }
    failpoints.hit("recover.fenced").await;
    tx.commit().await?;
    let what = match cause {
        Cause::Vanished | Cause::Panicked => "vanished",
        Cause::Overran => "did not stop after its deadline",
    };
    tracing::warn!(operation.id = %row.id, ?recovery, "the owner of {} {what}", row.id);
    Ok(true)
}

/// The rows of these jobs whose owner counts as vanished; the SQL of [`OperationFacts::is_abandoned`].
fn abandoned<'a>(jobs: impl IntoIterator<Item = &'a dyn Job>, grace: Duration, now: &SimpleExpr) -> Condition {
    let purpose = |purpose| match purpose {
        ClaimPurpose::Run => operation::Column::Unwind.ne(UndoState::Running),
        ClaimPurpose::Undo => operation::Column::Unwind.eq(UndoState::Running),
    };
    let nothing = Condition::any().add(Expr::value(1).eq(0));
    jobs.into_iter().fold(nothing, |any, job| {
        let (spec, deadlines) = (job.spec(), job.deadlines());
        let overrun = |of| {
            let latest = now.clone().sub(db::millis(deadlines.fence_after(of, grace)));
            purpose(of).and(Expr::col(operation::Column::ClaimedAt).lt(latest))
        };
        any.add(
            Condition::all()
                .add(operation::Column::Kind.eq(spec.kind))
                .add(operation::Column::SchemaVersion.between(1, spec.version))
                .add(readable())
                .add(in_progress())
                .add(
                    Condition::any()
                        .add(Expr::col(operation::Column::LeaseUntil).lt(now.clone()))
                        .add(overrun(ClaimPurpose::Run))
                        .add(overrun(ClaimPurpose::Undo)),
                ),
        )
    })
}

/// Locks and returns the row if its owner vanished. Such an owner may be suspended inside the transaction of a step,
/// and its footprint is known only after that transaction. While it is open the row is skipped, so that one such owner
/// does not delay the recovery of other operations.
async fn lock_abandoned(
    tx: &impl ConnectionTrait,
    row: &operation::Model,
    job: &dyn Job,
    grace: Duration,
) -> Result<Option<operation::Model>, DbErr> {
    operation::Entity::find()
        .filter(owned_by(row.id, row.fence))
        .filter(abandoned([job], grace, &db::now_expr(tx)))
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .one(tx)
        .await
}
