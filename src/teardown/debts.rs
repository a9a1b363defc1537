//! The rows of what is left, and what is released with the last of them.

use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect,
};

use crate::db;
use crate::db::entities::debt::{self, DebtKind, DebtState};
use crate::db::entities::operation::{self, Cleanup};
use crate::instances::reservations;
use crate::kernel::{Backoff, DebtId, OperationId, Timestamp};
use crate::publishing::port_pool;

use super::subject::Subject;

/// The waits between attempts to settle a debt.
pub(super) const RETRY: Backoff = Backoff::new(Duration::from_secs(30), Duration::from_secs(1800));

/// How long one attempt has a debt to itself.
const CLAIM: Duration = Duration::from_secs(300);

/// Writes that `kind` of `subject` is left by the teardown `id`, once.
pub(super) async fn record(
    tx: &impl ConnectionTrait,
    id: OperationId,
    kind: DebtKind,
    subject: &Subject,
    reason: &str,
    now: Timestamp,
) -> Result<(), DbErr> {
    let known = debt::Entity::find()
        .filter(debt::Column::OperationId.eq(id))
        .filter(debt::Column::Kind.eq(kind))
        .one(tx)
        .await?;
    if known.is_some() {
        return Ok(());
    }
    let row = debt::ActiveModel {
        id: Set(DebtId::generate()),
        operation_id: Set(id),
        kind: Set(kind),
        vmid: Set(Some(subject.vmid)),
        node: Set(Some(subject.node.to_string())),
        detail: Set(format!("what server {} has at {kind} could not be removed", subject.vmid)),
        subject: Set(serde_json::to_string(subject).ok()),
        state: Set(DebtState::Open),
        attempts: Set(0),
        next_attempt_at: Set(Some(now.after(RETRY.base))),
        last_error: Set(Some(reason.to_owned())),
        created_at: Set(now),
        updated_at: Set(now),
    };
    debt::Entity::insert(row).exec_without_returning(tx).await.map(drop)
}

/// How many debts of `id` are open.
pub(super) async fn open(db: &impl ConnectionTrait, id: OperationId) -> Result<u64, DbErr> {
    debt::Entity::find()
        .filter(debt::Column::OperationId.eq(id))
        .filter(debt::Column::State.eq(DebtState::Open))
        .count(db)
        .await
}

/// Up to `limit` debts whose time has come.
pub(super) async fn due(db: &DatabaseConnection, now: Timestamp, limit: u64) -> Result<Vec<debt::Model>, DbErr> {
    debt::Entity::find()
        .filter(debt::Column::State.eq(DebtState::Open))
        .filter(debt::Column::NextAttemptAt.lte(now))
        .filter(debt::Column::Subject.is_not_null())
        .order_by_asc(debt::Column::NextAttemptAt)
        .limit(limit)
        .all(db)
        .await
}

/// Takes `row` for one attempt; false when somebody else did.
pub(super) async fn claim(db: &DatabaseConnection, row: &debt::Model, now: Timestamp) -> Result<bool, DbErr> {
    let claimed = debt::Entity::update_many()
        .col_expr(debt::Column::NextAttemptAt, Expr::value(now.after(CLAIM)))
        .filter(debt::Column::Id.eq(row.id))
        .filter(debt::Column::State.eq(DebtState::Open))
        .filter(debt::Column::NextAttemptAt.eq(row.next_attempt_at))
        .exec(db)
        .await?;
    Ok(claimed.rows_affected == 1)
}

/// Writes down that an attempt failed.
pub(super) async fn failed(
    db: &DatabaseConnection,
    row: &debt::Model,
    reason: &str,
    now: Timestamp,
) -> Result<(), DbErr> {
    let attempts = u32::try_from(row.attempts).unwrap_or(0);
    debt::Entity::update_many()
        .col_expr(debt::Column::Attempts, Expr::col(debt::Column::Attempts).add(1))
        .col_expr(debt::Column::NextAttemptAt, Expr::value(now.after(RETRY.jittered(attempts))))
        .col_expr(debt::Column::LastError, Expr::value(reason))
        .col_expr(debt::Column::UpdatedAt, Expr::value(now))
        .filter(debt::Column::Id.eq(row.id))
        .filter(debt::Column::State.eq(DebtState::Open))
        .exec(db)
        .await
        .map(drop)
}

/// Closes a debt as `state`, and releases what its server held when it was the last one. False when it was closed already.
pub(super) async fn close(
    db: &DatabaseConnection,
    row: &debt::Model,
    state: DebtState,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let tx = db::begin(db).await?;
    // The row of the operation is the lock of its debts: two that are closed at once must not both see the other open.
    operation::Entity::update_many()
        .col_expr(operation::Column::Fence, Expr::col(operation::Column::Fence))
        .filter(operation::Column::Id.eq(row.operation_id))
        .exec(&tx)
        .await?;
    let closed = debt::Entity::update_many()
        .col_expr(debt::Column::State, Expr::value(state))
        .col_expr(debt::Column::NextAttemptAt, Expr::value(None::<i64>))
        .col_expr(debt::Column::UpdatedAt, Expr::value(now))
        .filter(debt::Column::Id.eq(row.id))
        .filter(debt::Column::State.eq(DebtState::Open))
        .exec(&tx)
        .await?;
    if closed.rows_affected != 1 {
        tx.rollback().await?;
        return Ok(false);
    }
    let subject = row.subject.as_deref().and_then(|text| serde_json::from_str::<Subject>(text).ok());
    if let Some(subject) = subject
        && open(&tx, row.operation_id).await? == 0
    {
        release(&tx, subject.nonce, now).await?;
        operation::Entity::update_many()
            .col_expr(operation::Column::Cleanup, Expr::value(Cleanup::Done))
            .filter(operation::Column::Id.eq(row.operation_id))
            .exec(&tx)
            .await?;
    }
    tx.commit().await?;
    Ok(true)
}

/// Releases VMID, host name and port that the operation `nonce` took for its server.
pub(super) async fn release(tx: &impl ConnectionTrait, nonce: OperationId, now: Timestamp) -> Result<(), DbErr> {
    port_pool::release(tx, nonce, now).await?;
    reservations::release(tx, nonce, now).await
}
