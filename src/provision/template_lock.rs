//! One clone per template at a time, over all workers (wire/proxmox.md sections 5.4 and 14.3).
//!
//! A lock belongs to an operation under its fence and is free as soon as that operation lost its lease.

use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Query};
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, DatabaseConnection, DbErr, EntityTrait, QueryFilter};

use crate::db;
use crate::db::entities::operation::{self, OperationState, Unwind};
use crate::db::entities::resource_lock;
use crate::kernel::{OperationId, Timestamp, VmId};

fn name(template: VmId) -> String {
    format!("template:{template}")
}

/// Tries to take the lock of `template`. Taking what one holds already succeeds.
pub(super) async fn take(
    db: &DatabaseConnection,
    template: VmId,
    id: OperationId,
    fence: i64,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let row = resource_lock::ActiveModel {
        name: Set(name(template)),
        operation_id: Set(None),
        fence: Set(0),
        taken_at: Set(now),
    };
    let mut keep = OnConflict::column(resource_lock::Column::Name);
    keep.do_nothing_on([resource_lock::Column::Name]);
    resource_lock::Entity::insert(row).on_conflict(keep).exec_without_returning(db).await?;
    let held = (resource_lock::Entity, resource_lock::Column::OperationId);
    let alive = Query::select()
        .expr(Expr::value(1))
        .from(operation::Entity)
        .and_where(Expr::col((operation::Entity, operation::Column::Id)).equals(held))
        .and_where(
            Expr::col((operation::Entity, operation::Column::Fence))
                .equals((resource_lock::Entity, resource_lock::Column::Fence)),
        )
        .cond_where(
            Condition::any()
                .add(operation::Column::State.eq(OperationState::Running))
                .add(operation::Column::Unwind.eq(Unwind::Running)),
        )
        .and_where(Expr::col((operation::Entity, operation::Column::LeaseUntil)).gt(db::now_expr(db)))
        .take();
    let taken = resource_lock::Entity::update_many()
        .col_expr(resource_lock::Column::OperationId, Expr::value(id))
        .col_expr(resource_lock::Column::Fence, Expr::value(fence))
        .col_expr(resource_lock::Column::TakenAt, Expr::value(now))
        .filter(resource_lock::Column::Name.eq(name(template)))
        .filter(
            Condition::any()
                .add(resource_lock::Column::OperationId.is_null())
                .add(resource_lock::Column::OperationId.eq(id))
                .add(Expr::exists(alive).not()),
        )
        .exec(db)
        .await?;
    Ok(taken.rows_affected == 1)
}

/// Gives the lock back, if `id` holds it.
pub(super) async fn give_back(db: &DatabaseConnection, template: VmId, id: OperationId) -> Result<(), DbErr> {
    resource_lock::Entity::update_many()
        .col_expr(resource_lock::Column::OperationId, Expr::value(None::<String>))
        .filter(resource_lock::Column::Name.eq(name(template)))
        .filter(resource_lock::Column::OperationId.eq(id))
        .exec(db)
        .await
        .map(drop)
}
