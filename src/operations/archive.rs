//! Moves operations into the archive once their retention is over, each with its steps, events and debts.
//!
//! An operation stays as long as something refers to it: the server it made, a VMID or port it holds, an open debt, an undo
//! that is not finished, the row of an episode.

use sea_orm::sea_query::{Expr, ExprTrait, Func, LockBehavior, LockType, Query, SelectStatement, SimpleExpr};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect,
};

use crate::db;
use crate::db::archive::{Source, archive};
use crate::db::entities::archived_record::Origin;
use crate::db::entities::debt::{self, DebtState};
use crate::db::entities::episode;
use crate::db::entities::operation::{self, Cleanup, OperationState, UndoState};
use crate::kernel::{OperationId, Timestamp};

/// The tables of an operation; its own row is removed last.
const SOURCES: &[Source] = &[
    Source { table: "operations", key: "id" },
    Source { table: "operation_steps", key: "operation_id" },
    Source { table: "operation_events", key: "operation_id" },
    Source { table: "debts", key: "operation_id" },
];

/// How far a walk over ended operations has come: the time at which the last one ended, and its id.
pub type Place = (Timestamp, OperationId);

/// Archives at most `most` of the operations that ended before `before`, behind `after` in the order in which they ended.
/// Returns how many, and where to continue; `None` at the end. Those that `kept` names stay. An operation that another process
/// has locked is left to it.
pub async fn archive_ended(
    db: &DatabaseConnection,
    (before, now): (Timestamp, Timestamp),
    after: Option<Place>,
    most: u64,
    kept: Condition,
) -> Result<(u64, Option<Place>), DbErr> {
    let tx = db::begin(db).await?;
    let behind = after.map(|(at, id)| {
        let same = operation::Column::FinishedAt.eq(at).and(operation::Column::Id.gt(id));
        operation::Column::FinishedAt.gte(at).and(operation::Column::FinishedAt.gt(at).or(same))
    });
    let ended: Vec<(OperationId, Timestamp)> = operation::Entity::find()
        .select_only()
        .columns([operation::Column::Id, operation::Column::FinishedAt])
        .filter(operation::Column::FinishedAt.lt(before))
        .filter(Condition::all().add_option(behind))
        .filter(has_ended(tx.get_database_backend()))
        .filter(operation::Column::Unwind.is_in([UndoState::None, UndoState::Done]))
        .filter(operation::Column::Cleanup.is_in([Cleanup::None, Cleanup::Done]))
        .filter(Expr::exists(open_debts()).not())
        .filter(Expr::exists(of(episode::Entity, episode::Column::OperationId)).not())
        .filter(kept.not())
        .order_by_asc(operation::Column::FinishedAt)
        .order_by_asc(operation::Column::Id)
        .limit(most)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .into_tuple()
        .all(&tx)
        .await?;
    let records: Vec<(String, Timestamp)> = ended.iter().map(|(id, at)| (id.to_string(), *at)).collect();
    archive(&tx, Origin::Operation, SOURCES, &records, now).await?;
    tx.commit().await?;
    let last = ended.last().filter(|_| ended.len() as u64 == most).map(|(id, at)| (*at, *id));
    Ok((ended.len() as u64, last))
}

/// SQLite has no statistics. It would take the index of the states, which almost all rows have, where the one of
/// `finished_at` gives the order; so its condition is one that no index serves.
fn has_ended(backend: DbBackend) -> SimpleExpr {
    let state = Expr::col((operation::Entity, operation::Column::State));
    let state = match backend {
        DbBackend::Sqlite => Func::coalesce([state, Expr::value("")]).into(),
        _ => state,
    };
    state.is_in(OperationState::ENDED.iter().copied())
}

/// The rows of a table that refer to the operation.
fn of<E: EntityTrait>(table: E, operation: E::Column) -> SelectStatement {
    Query::select()
        .expr(Expr::value(1))
        .from(table)
        .and_where(Expr::col((table, operation)).equals((operation::Entity, operation::Column::Id)))
        .take()
}

fn open_debts() -> SelectStatement {
    // As an exclusion, because few debts of an operation are better to read than all that are open.
    let closed = [DebtState::Settled, DebtState::Released];
    of(debt::Entity, debt::Column::OperationId).and_where(debt::Column::State.is_not_in(closed)).take()
}
