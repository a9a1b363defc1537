//! Lists of operations for operators. A list that several conditions belong to is read by a query for each, because an index
//! leads to each, but not to all of them in one query.

use std::collections::BTreeMap;

use sea_orm::sea_query::{ExprTrait, SimpleExpr};
use sea_orm::{ColumnTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::db;
use crate::db::entities::debt;
use crate::db::entities::operation::{Cleanup, Column, Entity, Model, OperationState, UndoState};
use crate::jobs::queue::Queue;
use crate::kernel::OperationId;

use super::status::dead;

/// The most open debts whose operations are listed.
const MOST_DEBTS: u64 = 10_000;

/// At most `limit` operations that no worker will continue unless an operator acts, the one that was due first in front:
/// stale ones that are not undone, held undos, and queued ones that have no start left.
pub async fn dead_operations(db: &DatabaseConnection, queue: Option<Queue>, limit: u64) -> Result<Vec<Model>, DbErr> {
    by_due_time(db, queue, dead(), limit).await
}

/// At most `limit` operations of `queue` that wait or run, undos included, the one that is due first in front.
pub async fn unfinished_operations(db: &DatabaseConnection, queue: Queue, limit: u64) -> Result<Vec<Model>, DbErr> {
    let parts = [
        Column::State.eq(OperationState::Queued),
        Column::State.eq(OperationState::Running),
        Column::Unwind.eq(UndoState::Due),
        Column::Unwind.eq(UndoState::Running),
    ];
    by_due_time(db, Some(queue), parts, limit).await
}

async fn by_due_time(
    db: &DatabaseConnection,
    queue: Option<Queue>,
    parts: impl IntoIterator<Item = SimpleExpr>,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    let mut found = BTreeMap::new();
    for which in parts {
        let rows = Entity::find().filter(which).filter(of_queue(queue)).order_by_asc(Column::RunAfter);
        let rows = db::readable(rows.order_by_asc(Column::Id).limit(limit), db).await?;
        found.extend(rows.into_iter().map(|row| ((row.run_after, row.id), row)));
    }
    Ok(found.into_values().take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
}

/// The latest `limit` operations, of `state` if one is given.
pub async fn latest_operations(
    db: &DatabaseConnection,
    state: Option<OperationState>,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    let rows = Entity::find().order_by_desc(Column::Id).limit(limit);
    let rows = match state {
        Some(state) => rows.filter(Column::State.eq(state)),
        None => rows,
    };
    db::readable(rows, db).await
}

/// The latest `limit` operations, of `state` if one is given, that are not undone or leave something to remove.
pub async fn unsettled_operations(
    db: &DatabaseConnection,
    state: Option<OperationState>,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    let debts = debt::Entity::find().select_only().column(debt::Column::OperationId).distinct();
    let debts = debts.filter(debt::Column::State.eq(debt::DebtState::Open)).limit(MOST_DEBTS);
    // Read first: MariaDB would read every operation for a subquery.
    let in_debt: Vec<OperationId> = debts.into_tuple().all(db).await?;
    let undo = |undo: UndoState| Column::Unwind.eq(undo).and(known_queue());
    let parts = [
        undo(UndoState::Due),
        undo(UndoState::Running),
        undo(UndoState::Held),
        Column::Id.is_in(in_debt).and(Column::Cleanup.is_in([Cleanup::Pending, Cleanup::Required])),
    ];
    let mut found = BTreeMap::new();
    for which in parts {
        let rows = Entity::find().filter(which).order_by_desc(Column::Id).limit(limit);
        let rows = match state {
            Some(state) => rows.filter(Column::State.eq(state)),
            None => rows,
        };
        found.extend(db::readable(rows, db).await?.into_iter().map(|row| (row.id, row)));
    }
    Ok(found.into_values().rev().take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
}

fn of_queue(queue: Option<Queue>) -> SimpleExpr {
    queue.map_or_else(known_queue, |queue| Column::Queue.eq(queue.as_str()))
}

/// Any queue, as a list that lets indexes be used.
fn known_queue() -> SimpleExpr {
    Column::Queue.is_in(Queue::ALL.iter().map(|queue| queue.as_str()))
}
