//! The claim and the end of an operation as one statement each, on a database that can change two tables in one statement
//! (PostgreSQL). What may be claimed or ended is decided in `claim.rs` and `finish.rs`.

use sea_orm::sea_query::{
    Asterisk, CommonTableExpression, Expr, ExprTrait, LockBehavior, LockType, Order, Query, SelectStatement,
    UpdateStatement, WithClause, WithQuery,
};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, FromQueryResult, QueryTrait};

use crate::db::entities::{operation, queue_slot};
use crate::jobs::queue::Queue;
use crate::kernel::OperationId;

/// A statement that changes operations.
pub(super) type Update = sea_orm::UpdateMany<operation::Entity>;

/// The names of the parts of a statement.
const FREE: &str = "free";
const WON: &str = "won";

/// Whether the database can do it.
pub(super) fn is_supported(db: &DatabaseConnection) -> bool {
    db.get_database_backend() == DbBackend::Postgres
}

/// Carries out `claim`, which changes at most one operation, and takes a slot below `limit` for it. Returns the operation;
/// `None` if nothing was claimed, or no slot was free.
pub(super) async fn claim(
    db: &DatabaseConnection,
    claim: Update,
    (queue, limit): (Queue, Option<u32>),
) -> Result<Option<operation::Model>, DbErr> {
    let mut with = WithClause::new();
    let mut won = claim.into_query();
    if let Some(limit) = limit {
        with.cte(part(FREE, free(queue, limit)));
        won.and_where(Expr::exists(Query::select().expr(Expr::value(1)).from(FREE).take()));
    }
    won.returning_all();
    with.cte(part(WON, won));
    if limit.is_some() {
        with.cte(part("taken", taken(queue)));
    }
    let query = Query::select().column(Asterisk).from(WON).take().with(with);
    operation::Model::find_by_statement(db.get_database_backend().build(&query)).one(db).await
}

/// Carries out `end`, which changes at most the operation `id`, and releases its slot. Returns whether it was changed.
pub(super) async fn finish(db: &DatabaseConnection, end: Update, id: OperationId) -> Result<bool, DbErr> {
    let mut ended = end.into_query();
    ended.returning_col(operation::Column::Id);
    let released = Query::update()
        .table(queue_slot::Entity)
        .value(queue_slot::Column::OperationId, Expr::value(None::<String>))
        .and_where(queue_slot::Column::OperationId.eq(id))
        .and_where(Expr::exists(Query::select().expr(Expr::value(1)).from(WON).take()))
        .take();
    let mut with = WithClause::new();
    with.cte(part(WON, ended)).cte(part("released", returning_one(released)));
    let query: WithQuery = Query::select().column("id").from(WON).take().with(with);
    Ok(db.query_one(&query).await?.is_some())
}

/// A free slot, locked. One that another claim has locked is passed over, so that claims do not wait for each other.
fn free(queue: Queue, limit: u32) -> SelectStatement {
    Query::select()
        .column(queue_slot::Column::Slot)
        .from(queue_slot::Entity)
        .and_where(queue_slot::Column::Queue.eq(queue.as_str()))
        .and_where(queue_slot::Column::Slot.lt(i64::from(limit)))
        .and_where(queue_slot::Column::OperationId.is_null())
        .order_by(queue_slot::Column::Slot, Order::Asc)
        .limit(1)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .take()
}

/// Gives the free slot to the operation that was won.
fn taken(queue: Queue) -> UpdateStatement {
    let of = |table: &'static str, column: &'static str| {
        Expr::SubQuery(None, Box::new(Query::select().column(column).from(table).take().into()))
    };
    let taken = Query::update()
        .table(queue_slot::Entity)
        .value(queue_slot::Column::OperationId, of(WON, "id"))
        .value(queue_slot::Column::Fence, of(WON, "fence"))
        .and_where(queue_slot::Column::Queue.eq(queue.as_str()))
        .and_where(Expr::col(queue_slot::Column::Slot).eq(of(FREE, "slot")))
        .and_where(Expr::exists(Query::select().expr(Expr::value(1)).from(WON).take()))
        .take();
    returning_one(taken)
}

fn returning_one(mut update: UpdateStatement) -> UpdateStatement {
    update.returning_col(queue_slot::Column::Slot);
    update
}

fn part(name: &'static str, query: impl Into<sea_orm::sea_query::SubQueryStatement>) -> CommonTableExpression {
    let mut part = CommonTableExpression::new();
    part.table_name(name).query(query);
    part
}
