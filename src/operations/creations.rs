//! Operations that create something for a customer and have not done so yet, and those that recently failed to.

use std::cmp::Reverse;
use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait, Func, Query, SelectStatement, SimpleExpr, UnionType};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect, QueryTrait, Select,
    TryGetableMany,
};
use serde_json::Value;

use super::sentence::customer_sentence;
use super::view::progress;
use crate::db::entities::operation::{self, OperationState};
use crate::db::entities::operation_step::{self, StepStatus};
use crate::kernel::{OperationId, Timestamp, UserId};

/// How long a failure is shown.
const SHOWN: Duration = Duration::from_secs(24 * 3600);
/// The largest number of them.
const MOST: usize = 50;
/// The largest number of rows that is read for them; more fail in a day only if something is very wrong.
const MOST_READ: u64 = 1000;

/// An operation whose result does not belong to the customer yet.
#[derive(Clone, Debug)]
pub struct Creation {
    /// The operation.
    pub id: OperationId,
    /// Its state: queued, running, failed or stale.
    pub state: OperationState,
    /// The request, as JSON.
    pub request: Value,
    /// The step that is running or was last done.
    pub phase: Option<String>,
    /// Steps done in percent.
    pub percent: u8,
    /// Why it failed, as a sentence for the customer.
    pub error: Option<&'static str>,
    /// When it was accepted.
    pub created_at: Timestamp,
}

type Row = (OperationId, OperationState, Option<String>, Option<String>, Option<String>, i32, i64, Timestamp);

/// The creations of kind `kind` of `owner`, newest first: those that are not done, and those that failed within a day and
/// were not dismissed. One statement.
pub async fn creations(
    db: &impl ConnectionTrait,
    owner: UserId,
    kind: &str,
    now: Timestamp,
) -> Result<Vec<Creation>, DbErr> {
    let columns = [
        operation::Column::Id,
        operation::Column::State,
        operation::Column::Request,
        operation::Column::Phase,
        operation::Column::ErrorCode,
        operation::Column::StepCount,
    ];
    let select = || {
        let rows = operation::Entity::find().select_only().columns(columns).expr_as(done(), "done");
        rows.column(operation::Column::CreatedAt)
    };
    // Sorted here: SQLite would read another index for the order.
    let rows = db.query_all(both(select, owner, kind, now).limit(MOST_READ)).await?;
    let mut rows = rows.iter().map(Row::try_get_many_by_index).collect::<Result<Vec<Row>, _>>().map_err(DbErr::from)?;
    rows.sort_unstable_by_key(|row| Reverse(row.0));
    rows.truncate(MOST);
    Ok(rows.into_iter().map(creation).collect())
}

/// Selects a row for each of the [`creations`].
pub fn any(owner: UserId, kind: &str, now: Timestamp) -> SelectStatement {
    both(|| operation::Entity::find().select_only().column(operation::Column::Id), owner, kind, now)
}

/// `select`, once of the creations that are not done and once of those that failed: each half reads the rows of an index
/// that it returns.
fn both(select: impl Fn() -> Select<operation::Entity>, owner: UserId, kind: &str, now: Timestamp) -> SelectStatement {
    let owned = |states: [OperationState; 2]| {
        select()
            .filter(operation::Column::UserId.eq(owner))
            .filter(operation::Column::State.is_in(states))
            .filter(operation::Column::Kind.eq(kind))
            .filter(operation::Column::Committed.eq(false))
    };
    let failed = owned([OperationState::Failed, OperationState::Stale])
        .filter(operation::Column::FinishedAt.gt(now.before(SHOWN)))
        .filter(operation::Column::DismissedAt.is_null());
    let unfinished = owned([OperationState::Queued, OperationState::Running]);
    unfinished.into_query().union(UnionType::All, failed.into_query()).take()
}

fn creation((id, state, request, phase, error, of, done, created_at): Row) -> Creation {
    let request = request.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let percent = progress(state, usize::try_from(done).unwrap_or(0), of).percent;
    let error = error.as_deref().map(customer_sentence);
    Creation { id, state, request, phase, percent, error, created_at }
}

/// The number of steps done.
fn done() -> SimpleExpr {
    let done = Query::select()
        .expr(Func::count(Expr::col(operation_step::Column::Seq)))
        .from(operation_step::Entity)
        .and_where(
            Expr::col((operation_step::Entity, operation_step::Column::OperationId))
                .equals((operation::Entity, operation::Column::Id)),
        )
        .and_where(Expr::col((operation_step::Entity, operation_step::Column::Status)).eq(StepStatus::Done))
        .take();
    SimpleExpr::SubQuery(None, Box::new(done.into()))
}

/// What became of a request to dismiss an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dismissal {
    /// Its failure is not shown any more.
    Dismissed,
    /// It has not ended.
    Unfinished,
    /// The customer has no such operation.
    NotFound,
}

/// Stops showing the failure of `id` to its `owner`. Idempotent.
pub async fn dismiss(
    db: &impl ConnectionTrait,
    owner: UserId,
    id: OperationId,
    now: Timestamp,
) -> Result<Dismissal, DbErr> {
    let own = || Condition::all().add(operation::Column::Id.eq(id)).add(operation::Column::UserId.eq(owner));
    let dismissed = operation::Entity::update_many()
        .col_expr(operation::Column::DismissedAt, Expr::value(now))
        .filter(own())
        .filter(operation::Column::State.is_in(OperationState::ENDED.iter().copied()))
        .filter(operation::Column::DismissedAt.is_null())
        .exec(db)
        .await?;
    if dismissed.rows_affected == 1 {
        return Ok(Dismissal::Dismissed);
    }
    let found: Option<Option<Timestamp>> = operation::Entity::find()
        .select_only()
        .column(operation::Column::DismissedAt)
        .filter(own())
        .into_tuple()
        .one(db)
        .await?;
    Ok(match found {
        None => Dismissal::NotFound,
        Some(Some(_)) => Dismissal::Dismissed,
        Some(None) => Dismissal::Unfinished,
    })
}
