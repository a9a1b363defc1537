//! What a running job knows: its operation, its fence, and the three reasons to stop.

use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter};
use tokio_util::sync::CancellationToken;

use crate::db;
use crate::db::entities::operation::{self, OperationState, Unwind};
use crate::kernel::{Backoff, Failure, OperationId};

use super::claim::millis;
use super::failpoint::Failpoints;
use super::inflight::InFlight;

/// The waits while the database does not answer; the lease bounds them.
const TROUBLE: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

/// The lease is gone: another owner may be at work, so nothing may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lease of the operation is lost")]
pub struct Lost;

/// One run of one operation.
#[derive(Clone)]
pub struct JobContext {
    /// The row as it was when it was claimed.
    pub operation: operation::Model,
    /// The database.
    pub db: DatabaseConnection,
    /// Fires when the lease is lost: stop at once, write nothing.
    pub lost: CancellationToken,
    /// Fires when the user asked to stop: stop between two steps and undo.
    pub cancelled: CancellationToken,
    /// Fires when the worker stops: hand back between two steps.
    pub draining: CancellationToken,
    /// Places where tests kill, stop or hold the process.
    pub failpoints: Failpoints,
    pub(super) inflight: InFlight,
    pub(super) self_fence: Duration,
}

impl JobContext {
    /// The operation.
    pub const fn id(&self) -> OperationId {
        self.operation.id
    }

    /// The fence of this owner.
    pub const fn fence(&self) -> i64 {
        self.operation.fence
    }

    /// Whether others cannot own the operation yet, by the clock of this machine. To be asked between a wait for the
    /// database and an effect: an answer that comes late proves nothing any more.
    pub fn is_held(&self) -> bool {
        self.inflight.is_held(self.id(), self.self_fence)
    }

    /// Repeats `work` while the database is away, for as long as the lease lives. The inner error is one that no
    /// repetition cures. A database that does not answer at all is not waited for beyond the lease.
    pub async fn persist<T, F>(&self, what: &str, work: impl Fn() -> F) -> Result<Result<T, DbErr>, Lost>
    where
        F: Future<Output = Result<T, DbErr>>,
    {
        let id = self.id();
        for attempt in 0.. {
            let done = tokio::select! {
                biased;
                () = self.lost.cancelled() => break,
                done = work() => done,
            };
            match done {
                Err(error) if db::failure(&error) == Failure::Transient => {
                    if attempt == 0 {
                        tracing::warn!(operation.id = %id, %error, "`{what}` of {id} waits for the database");
                    }
                }
                settled => {
                    if attempt > 0 {
                        tracing::info!(operation.id = %id, attempt, "`{what}` of {id} waits no longer");
                    }
                    return Ok(settled);
                }
            }
            tokio::select! {
                () = self.lost.cancelled() => break,
                () = tokio::time::sleep(TROUBLE.jittered(attempt)) => {}
            }
        }
        Err(Lost)
    }

    /// Inside a transaction: proves that this owner's lease is alive and keeps others from taking over until commit.
    pub async fn guard(&self, tx: &impl ConnectionTrait) -> Result<Result<(), Lost>, DbErr> {
        guard(tx, self.id(), self.fence()).await
    }
}

/// The rows an owner with this fence may write.
pub(super) fn owned_by(id: OperationId, fence: i64) -> Condition {
    Condition::all().add(operation::Column::Id.eq(id)).add(operation::Column::Fence.eq(fence)).add(in_progress())
}

/// The rows some worker is at work on.
pub(super) fn in_progress() -> Condition {
    Condition::any()
        .add(operation::Column::State.eq(OperationState::Running))
        .add(operation::Column::Unwind.eq(Unwind::Running))
}

/// Gives the owner with `fence` another `lease`.
pub async fn renew(
    db: &impl ConnectionTrait,
    id: OperationId,
    fence: i64,
    lease: Duration,
) -> Result<Result<(), Lost>, DbErr> {
    let now = db::now_expr(db);
    let renewed = operation::Entity::update_many()
        .col_expr(operation::Column::LeaseUntil, now.clone().add(millis(lease)))
        .col_expr(operation::Column::HeartbeatAt, now)
        .filter(owned_by(id, fence))
        .exec(db)
        .await?;
    Ok(if renewed.rows_affected == 1 { Ok(()) } else { Err(Lost) })
}

/// Proves inside a transaction that the owner with `fence` is current, and locks the row until commit.
pub async fn guard(tx: &impl ConnectionTrait, id: OperationId, fence: i64) -> Result<Result<(), Lost>, DbErr> {
    let now = db::now_expr(tx);
    let guarded = operation::Entity::update_many()
        .col_expr(operation::Column::HeartbeatAt, now.clone())
        .filter(owned_by(id, fence))
        .filter(Expr::col(operation::Column::LeaseUntil).gt(now))
        .exec(tx)
        .await?;
    Ok(if guarded.rows_affected == 1 { Ok(()) } else { Err(Lost) })
}
