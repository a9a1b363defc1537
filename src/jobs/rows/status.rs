//! The status of the queues in the database: one query a figure, for any number of queues.

use std::collections::BTreeMap;

use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{ColumnTrait, Condition, DatabaseConnection, DbErr, EntityTrait, QueryFilter, QuerySelect};
use serde::Serialize;

use crate::db;
use crate::db::entities::operation::{self, OperationState, UndoState};
use crate::db::entities::{debt, queue, queue_slot};
use crate::jobs::queue::Queue;
use crate::kernel::Timestamp;

use super::owner::in_progress;
use super::sweeper::startable;

/// The status of one queue in the database.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueStatus {
    /// The queue.
    pub name: Queue,
    /// Whether it is paused.
    pub paused: bool,
    /// Operations that may start now, undos included.
    pub due: u64,
    /// When the oldest of them became due.
    pub oldest_due_at: Option<Timestamp>,
    /// Operations that a worker owns, undos included.
    pub running: u64,
    /// Operations that may run at the same time in all workers together.
    pub slots: u64,
    /// The number of taken slots.
    pub slots_taken: u64,
    /// Dead operations, see [`is_dead`].
    pub dead: u64,
    /// Operations with open debts.
    pub debts: u64,
}

/// How many operations of a queue ended, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EndedCounts {
    /// Succeeded.
    pub succeeded: u64,
    /// Failed.
    pub failed: u64,
    /// Cancelled.
    pub cancelled: u64,
    /// Stale: their worker vanished.
    pub stale: u64,
}

/// Operations that no worker will continue unless an operator acts: stale ones that are not undone, held undos, and
/// queued ones that have no start left.
pub fn is_dead() -> Condition {
    Condition::any()
        .add(operation::Column::Unwind.eq(UndoState::Held))
        .add(operation::Column::State.eq(OperationState::Stale).and(operation::Column::Unwind.ne(UndoState::Done)))
        .add(
            operation::Column::State
                .eq(OperationState::Queued)
                .and(Expr::col(operation::Column::Starts).gte(Expr::col(operation::Column::MaxStarts))),
        )
}

/// The status of every queue, in the order of [`Queue::ALL`].
pub async fn queue_statuses(db: &DatabaseConnection) -> Result<Vec<QueueStatus>, DbErr> {
    let due_now = startable_now(db);
    let due: Vec<(String, i64, Option<Timestamp>)> =
        of_known_queues(due_now).column_as(operation::Column::RunAfter.min(), "oldest").into_tuple().all(db).await?;
    let running = counted(db, Condition::all().add(in_progress())).await?;
    let dead = counted(db, is_dead()).await?;
    let debts = counted(db, with_open_debts()).await?;
    let slots: Vec<(String, i64, i64)> = queue_slot::Entity::find()
        .select_only()
        .column(queue_slot::Column::Queue)
        .column_as(queue_slot::Column::Slot.count(), "slots")
        .column_as(queue_slot::Column::OperationId.count(), "taken")
        .group_by(queue_slot::Column::Queue)
        .into_tuple()
        .all(db)
        .await?;
    let paused = queue::Entity::find().filter(queue::Column::Paused.eq(true)).all(db).await?;
    let of = |counts: &BTreeMap<String, u64>, name: Queue| counts.get(name.as_str()).copied().unwrap_or(0);
    let status = |name: Queue| {
        let due = due.iter().find(|(queue, ..)| queue == name.as_str());
        let slots = slots.iter().find(|(queue, ..)| queue == name.as_str());
        QueueStatus {
            name,
            paused: paused.iter().any(|row| row.name == name.as_str()),
            due: due.map_or(0, |(_, count, _)| count.unsigned_abs()),
            oldest_due_at: due.and_then(|(_, _, oldest)| *oldest),
            running: of(&running, name),
            slots: slots.map_or(0, |(_, slots, _)| slots.unsigned_abs()),
            slots_taken: slots.map_or(0, |(_, _, taken)| taken.unsigned_abs()),
            dead: of(&dead, name),
            debts: of(&debts, name),
        }
    };
    Ok(Queue::ALL.iter().map(|name| status(*name)).collect())
}

/// The number of operations that ended since `since`, by queue.
pub async fn ended_since(db: &DatabaseConnection, since: Timestamp) -> Result<BTreeMap<String, EndedCounts>, DbErr> {
    let counts: Vec<(String, i64, String)> =
        of_known_queues(Condition::all().add(operation::Column::FinishedAt.gte(since)))
            .column(operation::Column::State)
            .group_by(operation::Column::State)
            .into_tuple()
            .all(db)
            .await?;
    let mut ended: BTreeMap<String, EndedCounts> = BTreeMap::new();
    for (queue, count, state) in counts {
        let of_queue = ended.entry(queue).or_default();
        let count = count.unsigned_abs();
        let Ok(state) = state.parse() else { continue };
        match state {
            OperationState::Succeeded => of_queue.succeeded = count,
            OperationState::Failed => of_queue.failed = count,
            OperationState::Cancelled => of_queue.cancelled = count,
            OperationState::Stale => of_queue.stale = count,
            OperationState::Queued | OperationState::Running => {}
        }
    }
    Ok(ended)
}

fn startable_now(db: &DatabaseConnection) -> Condition {
    Condition::all().add(startable()).add(Expr::col(operation::Column::RunAfter).lte(db::now_expr(db)))
}

/// Operations with open debts that a worker or an operator has to settle.
fn with_open_debts() -> Condition {
    let open = Query::select()
        .column(debt::Column::OperationId)
        .from(debt::Entity)
        .and_where(debt::Column::State.eq(debt::DebtState::Open))
        .take();
    Condition::all()
        .add(operation::Column::Unwind.is_in([UndoState::Due, UndoState::Running, UndoState::Held]))
        .add(operation::Column::Id.in_subquery(open))
}

/// The queue and the number of the operations that match `which`. The queues are listed so that indexes can be used.
fn of_known_queues(which: Condition) -> sea_orm::Select<operation::Entity> {
    operation::Entity::find()
        .select_only()
        .column(operation::Column::Queue)
        .column_as(operation::Column::Id.count(), "count")
        .filter(operation::Column::Queue.is_in(Queue::ALL.iter().map(|queue| queue.as_str())))
        .filter(which)
        .group_by(operation::Column::Queue)
}

async fn counted(db: &DatabaseConnection, which: Condition) -> Result<BTreeMap<String, u64>, DbErr> {
    let counts: Vec<(String, i64)> = of_known_queues(which).into_tuple().all(db).await?;
    Ok(counts.into_iter().map(|(queue, count)| (queue, count.unsigned_abs())).collect())
}
