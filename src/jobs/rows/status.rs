//! How the queues stand in the database: one query a question, whatever the number of queues.

use std::collections::BTreeMap;

use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{ColumnTrait, Condition, DatabaseConnection, DbErr, EntityTrait, QueryFilter, QuerySelect};
use serde::Serialize;

use crate::db;
use crate::db::entities::operation::{self, OperationState, Unwind};
use crate::db::entities::{debt, queue, queue_slot};
use crate::jobs::queue::Queue;
use crate::kernel::Timestamp;

use super::owner::in_progress;
use super::sweeper::startable;

/// How one queue stands in the database.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueStatus {
    /// The queue.
    pub name: Queue,
    /// Whether it hands out nothing.
    pub paused: bool,
    /// Operations that may start now, undos included.
    pub due: u64,
    /// Since when the oldest of them may.
    pub oldest_due_at: Option<Timestamp>,
    /// Operations that some worker owns, undos included.
    pub running: u64,
    /// Operations that may run at a time over all workers.
    pub slots: u64,
    /// How many of those slots are taken.
    pub slots_taken: u64,
    /// Operations that no worker goes on with by itself, see [`is_dead`].
    pub dead: u64,
    /// Operations with leftovers on record that nobody has given up.
    pub debts: u64,
}

/// How many operations of a queue ended, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ended {
    /// They did what was asked.
    pub succeeded: u64,
    /// They could not.
    pub failed: u64,
    /// The user stopped them.
    pub cancelled: u64,
    /// Their worker vanished.
    pub stale: u64,
}

/// Operations no worker goes on with by itself: stale ones that are not undone, undos that wait for an operator, and
/// queued ones that have no start left.
pub fn is_dead() -> Condition {
    Condition::any()
        .add(operation::Column::Unwind.eq(Unwind::Held))
        .add(operation::Column::State.eq(OperationState::Stale).and(operation::Column::Unwind.ne(Unwind::Done)))
        .add(
            operation::Column::State
                .eq(OperationState::Queued)
                .and(Expr::col(operation::Column::Starts).gte(Expr::col(operation::Column::MaxStarts))),
        )
}

/// How every queue stands, in the order of [`Queue::ALL`].
pub async fn queue_statuses(db: &DatabaseConnection) -> Result<Vec<QueueStatus>, DbErr> {
    let due_now = startable_now(db);
    let due: Vec<(String, i64, Option<Timestamp>)> =
        of_known_queues(due_now).column_as(operation::Column::RunAfter.min(), "oldest").into_tuple().all(db).await?;
    let running = counted(db, Condition::all().add(in_progress())).await?;
    let dead = counted(db, is_dead()).await?;
    let debts = counted(db, owing()).await?;
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

/// How many operations ended since `since`, by queue.
pub async fn ended_since(db: &DatabaseConnection, since: Timestamp) -> Result<BTreeMap<String, Ended>, DbErr> {
    let counts: Vec<(String, i64, OperationState)> =
        of_known_queues(Condition::all().add(operation::Column::FinishedAt.gte(since)))
            .column(operation::Column::State)
            .group_by(operation::Column::State)
            .into_tuple()
            .all(db)
            .await?;
    let mut ended: BTreeMap<String, Ended> = BTreeMap::new();
    for (queue, count, state) in counts {
        let of_queue = ended.entry(queue).or_default();
        let count = count.unsigned_abs();
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

/// Operations whose leftovers a worker or an operator still has to deal with.
fn owing() -> Condition {
    let open = Query::select()
        .column(debt::Column::OperationId)
        .from(debt::Entity)
        .and_where(debt::Column::State.eq(debt::DebtState::Open))
        .take();
    Condition::all()
        .add(operation::Column::Unwind.is_in([Unwind::Due, Unwind::Running, Unwind::Held]))
        .add(operation::Column::Id.in_subquery(open))
}

/// Queue and number of the operations that are `which`; naming the queues lets the indexes help.
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
