//! Lists of servers.

use sea_orm::sea_query::{Expr, ExprTrait, JoinType, Order, Query, SelectStatement, UnionType};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, IdenStatic, Iterable, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, QueryTrait,
};

use crate::db;
use crate::db::entities::instance::{self, InstanceKind, Lifecycle};
use crate::db::entities::operation::{self, OperationState};
use crate::kernel::{InstanceId, OperationId, Timestamp, UserId, VmId};

/// At most `limit` servers of `owner` behind `after`, by number.
pub async fn list_owned(
    db: &impl ConnectionTrait,
    owner: UserId,
    after: Option<VmId>,
    limit: u64,
) -> Result<Vec<instance::Model>, DbErr> {
    db::readable(readable_page(after, limit).filter(instance::Column::UserId.eq(owner)), db).await
}

/// The first page of [`list_owned`], and whether `exists` returns a row at the same moment. One statement.
pub async fn first_owned(
    db: &impl ConnectionTrait,
    owner: UserId,
    limit: u64,
    exists: SelectStatement,
) -> Result<(Vec<instance::Model>, bool), DbErr> {
    let servers = readable_page(None, limit).filter(instance::Column::UserId.eq(owner)).into_query();
    // The join keeps the row of the flag when there is no server.
    let both = Query::select()
        .column(("flag", "found"))
        .columns(instance::Column::iter().map(|column| ("servers", column)))
        .from_subquery(Query::select().expr_as(Expr::exists(exists), "found").take(), "flag")
        .join_subquery(JoinType::LeftJoin, servers, "servers", Condition::all())
        .order_by(("servers", instance::Column::Vmid), Order::Asc)
        .take();
    let mut rows = db.query_all(&both).await?;
    let found = rows.first().map(|row| row.try_get_by_index(0)).transpose()?;
    rows.retain(|row| {
        row.try_get::<Option<VmId>>("", instance::Column::Vmid.as_str()).is_ok_and(|vmid| vmid.is_some())
    });
    Ok((db::readable_rows::<instance::Entity>(&rows), found.unwrap_or(false)))
}

/// At most `limit` servers of all owners behind `after`, by VMID.
pub async fn list_all(
    db: &impl ConnectionTrait,
    after: Option<VmId>,
    limit: u64,
) -> Result<Vec<instance::Model>, DbErr> {
    db::readable(readable_page(after, limit), db).await
}

fn page(after: Option<VmId>, limit: u64) -> sea_orm::Select<instance::Entity> {
    let rows = instance::Entity::find().order_by_asc(instance::Column::Vmid).limit(limit);
    match after {
        Some(vmid) => rows.filter(instance::Column::Vmid.gt(vmid)),
        None => rows,
    }
}

/// A page without the rows whose columns this release cannot read, so that a short page is the last one.
fn readable_page(after: Option<VmId>, limit: u64) -> sea_orm::Select<instance::Entity> {
    page(after, limit)
        .filter(instance::Column::Lifecycle.is_in(Lifecycle::ALL.iter().copied()))
        .filter(instance::Column::Kind.is_in(InstanceKind::ALL.iter().copied()))
}

/// Where the agent of a server listens.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct PollTarget {
    /// The server.
    pub id: InstanceId,
    /// The server's number.
    pub vmid: VmId,
    /// Its address.
    pub address: String,
}

/// At most `limit` agents to poll behind `after`, by number.
pub async fn list_poll_targets(
    db: &impl ConnectionTrait,
    after: Option<VmId>,
    limit: u64,
) -> Result<Vec<PollTarget>, DbErr> {
    page(after, limit)
        .select_only()
        .column(instance::Column::Id)
        .column(instance::Column::Vmid)
        .column(instance::Column::Address)
        .into_model()
        .all(db)
        .await
}

/// The number of every server.
pub async fn list_vmids(db: &impl ConnectionTrait) -> Result<Vec<VmId>, DbErr> {
    instance::Entity::find().select_only().column(instance::Column::Vmid).into_tuple().all(db).await
}

/// The VMID of every server and the node on which it was last observed, by VMID.
pub async fn list_places(db: &impl ConnectionTrait) -> Result<Vec<(VmId, String)>, DbErr> {
    instance::Entity::find()
        .select_only()
        .columns([instance::Column::Vmid, instance::Column::Node])
        .order_by_asc(instance::Column::Vmid)
        .into_tuple()
        .all(db)
        .await
}

/// At most `limit` servers in service.
pub async fn list_active(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<instance::Model>, DbErr> {
    db::readable(active().limit(limit), db).await
}

/// Every game server in service, by number.
pub async fn list_active_games(db: &impl ConnectionTrait) -> Result<Vec<instance::Model>, DbErr> {
    let games = active().filter(instance::Column::Kind.eq(InstanceKind::Game));
    db::readable(games.order_by_asc(instance::Column::Vmid), db).await
}

/// A game server in service, and which state of its row is the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromQueryResult)]
pub struct GameRevision {
    /// The server's number.
    pub vmid: VmId,
    /// The server.
    pub id: InstanceId,
    /// Counts changes of its row, except for those of the next field.
    pub revision: i64,
    /// When its public side is due.
    pub edge_due_at: Option<Timestamp>,
}

/// At most `limit` game servers in service behind `after`, by number.
pub async fn list_game_revisions(
    db: &impl ConnectionTrait,
    after: Option<VmId>,
    limit: u64,
) -> Result<Vec<GameRevision>, DbErr> {
    page(after, limit)
        .filter(instance::Column::Lifecycle.eq(Lifecycle::Active))
        .filter(instance::Column::Kind.eq(InstanceKind::Game))
        .select_only()
        .columns([
            instance::Column::Vmid,
            instance::Column::Id,
            instance::Column::Revision,
            instance::Column::EdgeDueAt,
        ])
        .into_model()
        .all(db)
        .await
}

/// The servers with these numbers.
pub async fn list_by_number(db: &impl ConnectionTrait, numbers: &[VmId]) -> Result<Vec<instance::Model>, DbErr> {
    let rows = instance::Entity::find().filter(instance::Column::Vmid.is_in(numbers.iter().copied()));
    db::readable(rows, db).await
}

/// At most `limit` servers in service whose public side is due at `now`, the longest due first.
pub async fn list_due(db: &impl ConnectionTrait, now: Timestamp, limit: u64) -> Result<Vec<instance::Model>, DbErr> {
    let due = active().filter(instance::Column::EdgeDueAt.lte(now));
    db::readable(due.order_by_asc(instance::Column::EdgeDueAt).limit(limit), db).await
}

/// How many servers in service have work left at their edge.
pub async fn count_unsettled(db: &impl ConnectionTrait) -> Result<u64, DbErr> {
    active().filter(instance::Column::EdgeDueAt.is_not_null()).count(db).await
}

/// At most `limit` servers that have something left to do at their public side, those being deleted included.
pub async fn list_unsettled(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<instance::Model>, DbErr> {
    db::readable(instance::Entity::find().filter(instance::Column::EdgeDueAt.is_not_null()).limit(limit), db).await
}

fn active() -> sea_orm::Select<instance::Entity> {
    instance::Entity::find()
        .filter(instance::Column::Lifecycle.eq(Lifecycle::Active))
        .filter(instance::Column::Kind.is_in(InstanceKind::ALL.iter().copied()))
}

/// A server of an owner, or an operation that is making one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holding {
    /// A server, with its memory limit in MiB.
    Server(i32),
    /// An operation whose server has no row yet, with its payload.
    Making {
        /// The operation.
        operation: OperationId,
        /// What it was asked for.
        payload: String,
    },
}

/// What `owner` has: the servers, and the unfinished operations of kind `create_kind` whose server has no row yet. One
/// statement, so that no server is missed or counted twice.
pub async fn list_holdings(db: &impl ConnectionTrait, owner: UserId, create_kind: &str) -> Result<Vec<Holding>, DbErr> {
    let recorded =
        Query::select().column(instance::Column::OperationId).from(instance::Entity).and_where(owned_by(owner)).take();
    let making = Query::select()
        .expr_as(Expr::col(operation::Column::Id), "operation_id")
        .expr_as(Expr::value(0), "memory_mib")
        .expr_as(Expr::col(operation::Column::Payload), "payload")
        .from(operation::Entity)
        .and_where(operation::Column::UserId.eq(owner))
        .and_where(operation::Column::Kind.eq(create_kind))
        .and_where(operation::Column::State.is_in([OperationState::Queued, OperationState::Running]))
        .and_where(Expr::col(operation::Column::Id).not_in_subquery(recorded))
        .take();
    let both = Query::select()
        .expr_as(Expr::col(instance::Column::OperationId), "operation_id")
        .expr_as(Expr::col(instance::Column::MemoryMib), "memory_mib")
        .expr_as(Expr::value(""), "payload")
        .from(instance::Entity)
        .and_where(owned_by(owner))
        .union(UnionType::All, making)
        .take();
    let holding = |row: sea_orm::QueryResult| {
        let payload: String = row.try_get("", "payload")?;
        Ok(match payload.is_empty() {
            true => Holding::Server(row.try_get("", "memory_mib")?),
            false => Holding::Making { operation: row.try_get("", "operation_id")?, payload },
        })
    };
    db.query_all(&both).await?.into_iter().map(holding).collect()
}

fn owned_by(owner: UserId) -> sea_orm::sea_query::SimpleExpr {
    instance::Column::UserId.eq(owner)
}
