//! Named locks, each held by at most one operation across all workers.
//!
//! A lock is held under the fence of its operation, and is free as soon as that operation has lost its lease.

use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Query};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter,
};

use crate::db;
use crate::db::entities::operation::{self, OperationState, UndoState};
use crate::db::entities::resource_lock;
use crate::kernel::{OperationId, Timestamp};

/// Tries to take the lock `name` for the owner of `id` under `fence`. Succeeds if the operation holds it already; fails
/// for an owner that has lost its lease.
pub async fn take(db: &DatabaseConnection, name: &str, id: OperationId, fence: i64) -> Result<bool, DbErr> {
    // A lock without a holder; the update below sets the holder and the time.
    let row = resource_lock::ActiveModel {
        name: Set(name.to_owned()),
        operation_id: Set(None),
        fence: Set(0),
        taken_at: Set(Timestamp::from_millis(0)),
    };
    let mut keep = OnConflict::column(resource_lock::Column::Name);
    keep.do_nothing_on([resource_lock::Column::Name]);
    resource_lock::Entity::insert(row).on_conflict(keep).exec_without_returning(db).await?;
    let held = (resource_lock::Entity, resource_lock::Column::OperationId);
    let owner = || {
        Query::select()
            .expr(Expr::value(1))
            .from(operation::Entity)
            .cond_where(
                Condition::any()
                    .add(operation::Column::State.eq(OperationState::Running))
                    .add(operation::Column::Unwind.eq(UndoState::Running)),
            )
            .and_where(Expr::col((operation::Entity, operation::Column::LeaseUntil)).gt(db::now_expr(db)))
            .take()
    };
    let holder = owner()
        .and_where(Expr::col((operation::Entity, operation::Column::Id)).equals(held))
        .and_where(
            Expr::col((operation::Entity, operation::Column::Fence))
                .equals((resource_lock::Entity, resource_lock::Column::Fence)),
        )
        .take();
    let ourselves =
        owner().and_where(operation::Column::Id.eq(id)).and_where(operation::Column::Fence.eq(fence)).take();
    let taken = resource_lock::Entity::update_many()
        .col_expr(resource_lock::Column::OperationId, Expr::value(id))
        .col_expr(resource_lock::Column::Fence, Expr::value(fence))
        .col_expr(resource_lock::Column::TakenAt, db::now_expr(db))
        .filter(resource_lock::Column::Name.eq(name))
        .filter(
            Condition::any()
                .add(resource_lock::Column::OperationId.is_null())
                .add(resource_lock::Column::OperationId.eq(id))
                .add(Expr::exists(holder).not()),
        )
        .filter(Expr::exists(ourselves))
        .exec(db)
        .await?;
    Ok(taken.rows_affected == 1)
}

/// Releases every lock that `id` holds.
pub async fn release_all(tx: &impl ConnectionTrait, id: OperationId) -> Result<(), DbErr> {
    resource_lock::Entity::update_many()
        .col_expr(resource_lock::Column::OperationId, Expr::value(None::<String>))
        .filter(resource_lock::Column::OperationId.eq(id))
        .exec(tx)
        .await
        .map(drop)
}

/// Releases the lock if the owner of `id` with `fence` took it.
pub async fn release(db: &DatabaseConnection, name: &str, id: OperationId, fence: i64) -> Result<(), DbErr> {
    resource_lock::Entity::update_many()
        .col_expr(resource_lock::Column::OperationId, Expr::value(None::<String>))
        .filter(resource_lock::Column::Name.eq(name))
        .filter(resource_lock::Column::OperationId.eq(id))
        .filter(resource_lock::Column::Fence.eq(fence))
        .exec(db)
        .await
        .map(drop)
}
