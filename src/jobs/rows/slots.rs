//! Slots, which limit how many operations of a queue run at the same time in all workers together, and the pause
//! switch.

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};

use crate::db::entities::{queue, queue_slot};
use crate::jobs::queue::Queue;
use crate::kernel::{OperationId, Timestamp};

/// Creates the rows of `count` slots if they are missing.
pub async fn ensure_slots(db: &impl ConnectionTrait, name: Queue, count: u32) -> Result<(), DbErr> {
    let rows = (0..i32::try_from(count).unwrap_or(i32::MAX)).map(|slot| queue_slot::ActiveModel {
        queue: Set(name.to_string()),
        slot: Set(slot),
        operation_id: Set(None),
        fence: Set(0),
    });
    let mut keep = OnConflict::columns([queue_slot::Column::Queue, queue_slot::Column::Slot]);
    keep.do_nothing_on([queue_slot::Column::Queue, queue_slot::Column::Slot]);
    queue_slot::Entity::insert_many(rows).on_conflict(keep).exec_without_returning(db).await.map(drop)
}

/// Takes a free slot below `limit` for an operation that was just claimed. Returns whether one was free.
pub(super) async fn take(
    tx: &impl ConnectionTrait,
    name: Queue,
    limit: u32,
    id: OperationId,
    fence: i64,
) -> Result<bool, DbErr> {
    for slot in free(tx, name, limit).await? {
        let taken = queue_slot::Entity::update_many()
            .col_expr(queue_slot::Column::OperationId, Expr::value(id))
            .col_expr(queue_slot::Column::Fence, Expr::value(fence))
            .filter(queue_slot::Column::Queue.eq(name.as_str()))
            .filter(queue_slot::Column::Slot.eq(slot))
            .filter(queue_slot::Column::OperationId.is_null())
            .exec(tx)
            .await?;
        if taken.rows_affected == 1 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The free slots below `limit`.
pub(in crate::jobs) async fn free(db: &impl ConnectionTrait, name: Queue, limit: u32) -> Result<Vec<i32>, DbErr> {
    queue_slot::Entity::find()
        .select_only()
        .column(queue_slot::Column::Slot)
        .filter(queue_slot::Column::Queue.eq(name.as_str()))
        .filter(queue_slot::Column::Slot.lt(i64::from(limit)))
        .filter(queue_slot::Column::OperationId.is_null())
        .order_by_asc(queue_slot::Column::Slot)
        .into_tuple()
        .all(db)
        .await
}

/// Releases the slot that `id` holds, if any.
pub(super) async fn release(tx: &impl ConnectionTrait, id: OperationId) -> Result<(), DbErr> {
    queue_slot::Entity::update_many()
        .col_expr(queue_slot::Column::OperationId, Expr::value(None::<String>))
        .filter(queue_slot::Column::OperationId.eq(id))
        .exec(tx)
        .await
        .map(drop)
}

/// Whether the queue is paused.
pub async fn is_paused(db: &impl ConnectionTrait, name: Queue) -> Result<bool, DbErr> {
    let row = queue::Entity::find_by_id(name.to_string()).one(db).await?;
    Ok(row.is_some_and(|row| row.paused))
}

/// Pauses or resumes the queue. Running operations continue.
pub async fn set_paused(db: &impl ConnectionTrait, name: Queue, paused: bool, now: Timestamp) -> Result<(), DbErr> {
    let row = queue::ActiveModel { name: Set(name.to_string()), paused: Set(paused), updated_at: Set(now) };
    let mut replace = OnConflict::column(queue::Column::Name);
    replace.update_columns([queue::Column::Paused, queue::Column::UpdatedAt]);
    queue::Entity::insert(row).on_conflict(replace).exec_without_returning(db).await.map(drop)
}
