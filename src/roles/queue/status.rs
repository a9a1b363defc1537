//! How one queue stands: the rows that are due, the slots, and what Redis holds. Redis may be away; the rows count.

use anyhow::Context;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, Condition, DatabaseConnection, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
use serde::Serialize;

use super::is_dead;
use crate::db;
use crate::db::entities::operation::{self, OperationState, Unwind};
use crate::db::entities::queue_slot;
use crate::jobs::{Lists, Queue, is_paused};
use crate::kernel::Timestamp;

/// How one queue stands.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct QueueStatus {
    pub(super) name: Queue,
    pub(super) paused: bool,
    /// Operations that may start now, undos included.
    pub(super) due: u64,
    /// Since when the oldest of them may.
    pub(super) oldest_due_at: Option<Timestamp>,
    pub(super) running: u64,
    pub(super) slots: u64,
    pub(super) slots_taken: u64,
    pub(super) dead: u64,
    /// Ids that wait in Redis, absent while it does not answer.
    pub(super) ready: Option<u64>,
    /// Workers on record in Redis, absent while it does not answer.
    pub(super) workers: Option<u64>,
}

impl QueueStatus {
    /// Reads it.
    pub(super) async fn read(db: &DatabaseConnection, lists: &Lists, name: Queue) -> anyhow::Result<Self> {
        let (rows, depth) = tokio::join!(rows(db, name), lists.depth(name));
        let mut status = rows.with_context(|| format!("the state of the queue {name} could not be read"))?;
        match depth {
            Ok(depth) => (status.ready, status.workers) = (Some(depth.ready), Some(depth.workers)),
            Err(error) => tracing::warn!(%error, "Redis did not tell how long the list of {name} is"),
        }
        Ok(status)
    }
}

async fn rows(db: &DatabaseConnection, name: Queue) -> Result<QueueStatus, DbErr> {
    let of_queue = || operation::Entity::find().filter(operation::Column::Queue.eq(name.as_str()));
    let due = Condition::all()
        .add(
            Condition::any()
                .add(
                    operation::Column::State
                        .eq(OperationState::Queued)
                        .and(Expr::col(operation::Column::Starts).lt(Expr::col(operation::Column::MaxStarts))),
                )
                .add(operation::Column::Unwind.eq(Unwind::Due)),
        )
        .add(Expr::col(operation::Column::RunAfter).lte(db::now_expr(db)));
    let running = Condition::any()
        .add(operation::Column::State.eq(OperationState::Running))
        .add(operation::Column::Unwind.eq(Unwind::Running));
    let slots = || queue_slot::Entity::find().filter(queue_slot::Column::Queue.eq(name.as_str()));
    Ok(QueueStatus {
        name,
        paused: is_paused(db, name).await?,
        due: of_queue().filter(due.clone()).count(db).await?,
        oldest_due_at: of_queue()
            .filter(due)
            .select_only()
            .column(operation::Column::RunAfter)
            .order_by_asc(operation::Column::RunAfter)
            .into_tuple()
            .one(db)
            .await?,
        running: of_queue().filter(running).count(db).await?,
        slots: slots().count(db).await?,
        slots_taken: slots().filter(queue_slot::Column::OperationId.is_not_null()).count(db).await?,
        dead: of_queue().filter(is_dead()).count(db).await?,
        ready: None,
        workers: None,
    })
}
