//! The status of the queues in the database: a few queries for each figure, for any number of queues. Each query is about
//! one state that few rows have, to which an index leads.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::sea_query::{Expr, ExprTrait, IntoCondition, Order, Query, SimpleExpr};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, PaginatorTrait, QueryFilter,
    QuerySelect,
};
use serde::Serialize;

use crate::db;
use crate::db::entities::operation::{self, OperationState, UndoState};
use crate::db::entities::{debt, queue, queue_slot};
use crate::jobs::ClaimPurpose;
use crate::jobs::queue::Queue;
use crate::kernel::{Timestamp, VmId};

use super::claim::readable;
use super::owner::in_progress_of;
use super::sweeper::startable_for;

/// The most ended operations that are counted.
const MOST_ENDED: u64 = 1_000_000;

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
    /// Dead operations: no worker will continue them unless an operator acts.
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

/// Operations that no worker will continue unless an operator acts: held undos, stale ones that are not undone, and queued
/// ones that have no start left. No operation belongs to two of these conditions.
pub(super) fn dead() -> [SimpleExpr; 3] {
    let settled = [UndoState::Done, UndoState::Held];
    [
        operation::Column::Unwind.eq(UndoState::Held),
        operation::Column::State.eq(OperationState::Stale).and(operation::Column::Unwind.is_not_in(settled)),
        operation::Column::State
            .eq(OperationState::Queued)
            .and(Expr::col(operation::Column::Starts).gte(Expr::col(operation::Column::MaxStarts))),
    ]
}

/// How many unfinished operations of all queues this release cannot read: it leaves them to the release that wrote them.
pub async fn unreadable_rows(db: &DatabaseConnection) -> Result<u64, DbErr> {
    let unfinished = [OperationState::Queued, OperationState::Running];
    let mut unreadable = 0;
    for of_queue in [
        Condition::all().add(operation::Column::State.is_in(unfinished)),
        Condition::all()
            .add(operation::Column::Unwind.is_in([UndoState::Due, UndoState::Running]))
            .add(operation::Column::State.is_not_in(unfinished)),
    ] {
        unreadable += operation::Entity::find()
            .filter(operation::Column::Queue.is_in(Queue::ALL.iter().map(|queue| queue.as_str())))
            .filter(of_queue)
            .filter(readable().not())
            .count(db)
            .await?;
    }
    Ok(unreadable)
}

/// The status of every queue, in the order of [`Queue::ALL`].
pub async fn queue_statuses(db: &DatabaseConnection) -> Result<Vec<QueueStatus>, DbErr> {
    let mut due: Vec<(String, i64, Option<Timestamp>)> = Vec::new();
    for purpose in ClaimPurpose::ALL {
        let oldest = of_known_queues(startable_now(db, purpose)).column_as(operation::Column::RunAfter.min(), "oldest");
        due.extend(oldest.into_tuple::<(String, i64, Option<Timestamp>)>().all(db).await?);
    }
    let running = counted(db, ClaimPurpose::ALL.map(in_progress_of)).await?;
    let dead = counted(db, dead()).await?;
    let debts = counted(db, [with_open_debts()]).await?;
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
        let due = || due.iter().filter(|(queue, ..)| queue == name.as_str());
        let slots = slots.iter().find(|(queue, ..)| queue == name.as_str());
        QueueStatus {
            name,
            paused: paused.iter().any(|row| row.name == name.as_str()),
            due: due().map(|(_, count, _)| count.unsigned_abs()).sum(),
            oldest_due_at: due().filter_map(|(_, _, oldest)| *oldest).min(),
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
    // Grouping all operations by their queue looks cheaper to SQLite, unless a limited query is grouped.
    let recent = Query::select()
        .columns([operation::Column::Queue, operation::Column::State])
        .from(operation::Entity)
        .and_where(operation::Column::FinishedAt.gte(since))
        .order_by(operation::Column::FinishedAt, Order::Asc)
        .limit(MOST_ENDED)
        .take();
    let counts = Query::select()
        .columns([operation::Column::Queue, operation::Column::State])
        .expr_as(Expr::cust("COUNT(*)"), "count")
        .from_subquery(recent, "recent")
        .group_by_columns([operation::Column::Queue, operation::Column::State])
        .take();
    let mut ended: BTreeMap<String, EndedCounts> = BTreeMap::new();
    for row in db.query_all(&counts).await? {
        let of_queue = ended.entry(row.try_get("", "queue")?).or_default();
        let count = row.try_get::<i64>("", "count")?.unsigned_abs();
        let Ok(state) = row.try_get::<String>("", "state")?.parse() else { continue };
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

/// The most servers that [`busy_servers`] returns for each of its questions.
const MOST_BUSY: u64 = 10_000;

/// The servers that an unfinished operation or undo is about, or one that ended since `since`.
pub async fn busy_servers(db: &DatabaseConnection, since: Timestamp) -> Result<BTreeSet<VmId>, DbErr> {
    let known = || operation::Column::Queue.is_in(Queue::ALL.iter().map(|queue| queue.as_str()));
    let unfinished = operation::Column::State.is_in([OperationState::Queued, OperationState::Running]);
    let undoing = operation::Column::Unwind.is_in([UndoState::Due, UndoState::Running]);
    let mut busy = BTreeSet::new();
    for which in [known().and(unfinished), known().and(undoing), operation::Column::FinishedAt.gte(since)] {
        let rows = operation::Entity::find().select_only().column(operation::Column::Vmid).filter(which);
        let rows = rows.filter(operation::Column::Vmid.is_not_null()).limit(MOST_BUSY);
        busy.extend(rows.into_tuple::<VmId>().all(db).await?);
    }
    Ok(busy)
}

fn startable_now(db: &DatabaseConnection, purpose: ClaimPurpose) -> Condition {
    Condition::all().add(startable_for(purpose)).add(Expr::col(operation::Column::RunAfter).lte(db::now_expr(db)))
}

/// Operations with open debts that a worker or an operator has to settle.
fn with_open_debts() -> SimpleExpr {
    let open = Query::select()
        .column(debt::Column::OperationId)
        .from(debt::Entity)
        .and_where(debt::Column::State.eq(debt::DebtState::Open))
        .take();
    let unfinished = operation::Column::Unwind.is_in([UndoState::Due, UndoState::Running, UndoState::Held]);
    unfinished.and(operation::Column::Id.in_subquery(open))
}

/// The queue and the number of the operations that match `which`. The queues are listed so that indexes can be used.
fn of_known_queues(which: impl IntoCondition) -> sea_orm::Select<operation::Entity> {
    operation::Entity::find()
        .select_only()
        .column(operation::Column::Queue)
        .column_as(operation::Column::Id.count(), "count")
        .filter(operation::Column::Queue.is_in(Queue::ALL.iter().map(|queue| queue.as_str())))
        .filter(which)
        .group_by(operation::Column::Queue)
}

/// How many operations of each queue belong to one of `parts`, of which no two have an operation in common.
async fn counted(
    db: &DatabaseConnection,
    parts: impl IntoIterator<Item = SimpleExpr>,
) -> Result<BTreeMap<String, u64>, DbErr> {
    let mut total = BTreeMap::new();
    for which in parts {
        let counts: Vec<(String, i64)> = of_known_queues(which).into_tuple().all(db).await?;
        for (queue, count) in counts {
            *total.entry(queue).or_insert(0) += count.unsigned_abs();
        }
    }
    Ok(total)
}
