//! The rows of debts, and what is released with the last one of a server.

use std::collections::BTreeSet;
use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait, IntoCondition, SimpleExpr};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect,
};

use crate::db::entities::debt::{self, DebtKind, DebtState};
use crate::db::entities::operation::{self, Cleanup, UndoState};
use crate::db::{self, Authority};
use crate::kernel::{Backoff, DebtId, OperationId, Target, Timestamp, VmId};
use crate::servers::{self, ports, vmids};

use super::subject::TeardownSubject;

/// The waits between attempts to settle a debt.
pub(super) const RETRY: Backoff = Backoff::new(Duration::from_secs(30), Duration::from_secs(1800));

/// How long a claimed debt is not claimed again.
const CLAIM: Duration = Duration::from_secs(300);

/// Records, once, that the teardown `id` left `kind` of `subject`.
pub(super) async fn record(
    tx: &impl ConnectionTrait,
    id: OperationId,
    kind: DebtKind,
    subject: &TeardownSubject,
    reason: &str,
    now: Timestamp,
) -> Result<(), DbErr> {
    let known = debt::Entity::find()
        .filter(debt::Column::OperationId.eq(id))
        .filter(debt::Column::Kind.eq(kind))
        .one(tx)
        .await?;
    if known.is_some() {
        return Ok(());
    }
    let row = debt::ActiveModel {
        id: Set(DebtId::generate()),
        operation_id: Set(id),
        kind: Set(kind),
        vmid: Set(Some(subject.vmid)),
        node: Set(Some(subject.node.to_string())),
        detail: Set(in_words(kind, subject)),
        subject: Set(serde_json::to_string(subject).ok()),
        state: Set(DebtState::Open),
        attempts: Set(0),
        next_attempt_at: Set(Some(now.after(RETRY.base))),
        last_error: Set(Some(reason.to_owned())),
        created_at: Set(now),
        updated_at: Set(now),
    };
    debt::Entity::insert(row).exec_without_returning(tx).await.map(drop)
}

fn in_words(kind: DebtKind, subject: &TeardownSubject) -> String {
    let what = match kind {
        DebtKind::Container => "the container",
        DebtKind::Reservation => "VMID and host name",
        DebtKind::Edge(Target::Velocity) => "the registration at the proxy",
        DebtKind::Edge(Target::Technitium) => "the records at the internal DNS server",
        DebtKind::Edge(Target::Cloudflare) => "the records at the public DNS server",
        DebtKind::Edge(Target::Traefik | Target::Ide) => "the route",
    };
    format!("{what} of server {} could not be removed", subject.vmid)
}

/// Up to `limit` debts that are due.
pub(super) async fn due(db: &DatabaseConnection, now: Timestamp, limit: u64) -> Result<Vec<debt::Model>, DbErr> {
    let due = debt::Entity::find()
        .filter(debt::Column::State.eq(DebtState::Open))
        .filter(debt::Column::Kind.is_in(DebtKind::all()))
        .filter(debt::Column::NextAttemptAt.lte(now))
        .filter(debt::Column::Subject.is_not_null())
        .order_by_asc(debt::Column::NextAttemptAt)
        .limit(limit);
    db::readable(due, db).await
}

/// Claims `row` for one attempt; false when another process has.
pub(super) async fn claim(db: &DatabaseConnection, row: &debt::Model, now: Timestamp) -> Result<bool, DbErr> {
    let claimed = debt::Entity::update_many()
        .col_expr(debt::Column::NextAttemptAt, Expr::value(now.after(CLAIM)))
        .filter(debt::Column::Id.eq(row.id))
        .filter(debt::Column::State.eq(DebtState::Open))
        .filter(debt::Column::NextAttemptAt.eq(row.next_attempt_at))
        .exec(db)
        .await?;
    Ok(claimed.rows_affected == 1)
}

/// Stores the subject of a debt.
pub(super) async fn remember(
    db: &DatabaseConnection,
    row: &debt::Model,
    subject: &TeardownSubject,
    now: Timestamp,
) -> Result<(), DbErr> {
    debt::Entity::update_many()
        .col_expr(debt::Column::Subject, Expr::value(serde_json::to_string(subject).ok()))
        .col_expr(debt::Column::UpdatedAt, Expr::value(now))
        .filter(debt::Column::Id.eq(row.id))
        .exec(db)
        .await
        .map(drop)
}

/// Records a failed attempt.
pub(super) async fn failed(
    db: &DatabaseConnection,
    row: &debt::Model,
    reason: &str,
    now: Timestamp,
) -> Result<(), DbErr> {
    let attempts = u32::try_from(row.attempts).unwrap_or(0);
    debt::Entity::update_many()
        .col_expr(debt::Column::Attempts, Expr::col(debt::Column::Attempts).add(1))
        .col_expr(debt::Column::NextAttemptAt, Expr::value(now.after(RETRY.jittered(attempts))))
        .col_expr(debt::Column::LastError, Expr::value(reason))
        .col_expr(debt::Column::UpdatedAt, Expr::value(now))
        .filter(debt::Column::Id.eq(row.id))
        .filter(debt::Column::State.eq(DebtState::Open))
        .exec(db)
        .await
        .map(drop)
}

/// Closes a debt as `state` inside `tx`, and releases what its server held when it was the last one. False when it was
/// closed already: then nothing was written.
pub(super) async fn close(
    tx: &impl ConnectionTrait,
    row: &debt::Model,
    state: DebtState,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let lock = lock(tx, row.operation_id, row.vmid).await?;
    if mark(tx, debt::Column::Id.eq(row.id), state, now).await? != 1 {
        return Ok(false);
    }
    let subject = row.subject.as_deref().and_then(|text| serde_json::from_str::<TeardownSubject>(text).ok());
    // A debt without a subject was left by the operation that made the server.
    let nonce = subject.map_or(row.operation_id, |subject| subject.nonce);
    settle(&lock, row.operation_id, row.vmid, nonce, state, now).await?;
    Ok(true)
}

/// How many debts are open when a teardown ends: its own, and those of other operations about the same VMID. With none
/// left, VMID, host name and port are released. Unless the container is a debt of this teardown it was seen to be gone, and
/// the debt that the operation which made it may have left of it is settled.
pub(super) async fn conclude(
    tx: &impl ConnectionTrait,
    id: OperationId,
    subject: &TeardownSubject,
    now: Timestamp,
) -> Result<u64, DbErr> {
    let lock = lock(tx, id, Some(subject.vmid)).await?;
    let container = || debt::Column::Kind.eq(DebtKind::Container);
    let own = debt::Entity::find().filter(debt::Column::OperationId.eq(id)).filter(container()).filter(is_open());
    if own.one(tx).await?.is_none() {
        let makers = debt::Column::OperationId.eq(subject.nonce).and(debt::Column::Vmid.eq(subject.vmid));
        mark(tx, makers.and(container()), DebtState::Settled, now).await?;
    }
    settle(&lock, id, Some(subject.vmid), subject.nonce, DebtState::Settled, now).await
}

/// A transaction that has locked an operation and the number it has debts about.
struct NumberLock<'a, C>(&'a C);

impl<C: ConnectionTrait> Authority for NumberLock<'_, C> {
    type Connection = C;

    fn connection(&self) -> &C {
        self.0
    }
}

/// Locks the debts about one VMID, and the operation that left them: of two that are closed at the same time, one has to see
/// the other closed. The operation comes first, as everywhere, because its worker holds its row already.
async fn lock<C: ConnectionTrait>(tx: &C, id: OperationId, vmid: Option<VmId>) -> Result<NumberLock<'_, C>, DbErr> {
    operation::Entity::update_many()
        .col_expr(operation::Column::Fence, Expr::col(operation::Column::Fence))
        .filter(operation::Column::Id.eq(id))
        .exec(tx)
        .await?;
    if let Some(vmid) = vmid {
        vmids::lock(tx, vmid).await?;
    }
    Ok(NumberLock(tx))
}

/// Releases what `nonce` holds once there is no open debt about its VMID, and marks the operations that left them as cleaned
/// up. How many debts are still open.
async fn settle(
    lock: &impl Authority,
    id: OperationId,
    vmid: Option<VmId>,
    nonce: OperationId,
    state: DebtState,
    now: Timestamp,
) -> Result<u64, DbErr> {
    let tx = lock.connection();
    let about = || {
        let ours = Condition::any().add(debt::Column::OperationId.eq(id));
        ours.add_option(vmid.map(|vmid| debt::Column::Vmid.eq(vmid)))
    };
    let open = db::readable(debt::Entity::find().filter(about()).filter(is_open()), tx).await?;
    // Names and numbers are no work of their own: they are released with the last of the other debts.
    let left = open.iter().filter(|debt| debt.kind != DebtKind::Reservation).count();
    if left == 0 {
        mark(tx, about(), state, now).await?;
        // What the maker holds while it works it still needs: the debt is about a VMID that it gave up.
        let serves = servers::store::find_by_operation(tx, nonce).await?.is_some();
        if !serves && !is_working(tx, nonce).await? {
            release(lock, nonce, now).await?;
        }
    }
    // An operation that left a debt here and has no open one is cleaned up. Its id is read first: MariaDB would read every
    // operation for a subquery.
    let mut clean = operations_with(tx, about()).await?;
    let open = operations_with(tx, debt::Column::OperationId.is_in(clean.clone()).and(is_open())).await?;
    clean.retain(|id| !open.contains(id));
    operation::Entity::update_many()
        .col_expr(operation::Column::Cleanup, Expr::value(Cleanup::Done))
        .filter(operation::Column::Id.is_in(clean))
        .filter(operation::Column::Cleanup.is_in([Cleanup::Pending, Cleanup::Required]))
        .filter(operation::Column::Unwind.is_not_in([UndoState::Due, UndoState::Running]))
        .exec(tx)
        .await?;
    Ok(left as u64)
}

/// Whether the operation is still making its server. One that has committed made it, and what it held went to the server.
async fn is_working(tx: &impl ConnectionTrait, id: OperationId) -> Result<bool, DbErr> {
    let row = operation::Entity::find_by_id(id).one(tx).await?;
    Ok(row.is_some_and(|row| !row.state.is_ended() && !row.committed))
}

/// The operations that left these debts.
async fn operations_with(tx: &impl ConnectionTrait, debts: impl IntoCondition) -> Result<BTreeSet<OperationId>, DbErr> {
    let ids = debt::Entity::find().select_only().column(debt::Column::OperationId).filter(debts).distinct();
    let ids: Vec<OperationId> = ids.into_tuple().all(tx).await?;
    Ok(ids.into_iter().collect())
}

fn is_open() -> SimpleExpr {
    debt::Column::State.eq(DebtState::Open)
}

/// Gives open debts the state `state`; how many there were.
async fn mark(
    tx: &impl ConnectionTrait,
    which: impl IntoCondition,
    state: DebtState,
    now: Timestamp,
) -> Result<u64, DbErr> {
    let marked = debt::Entity::update_many()
        .col_expr(debt::Column::State, Expr::value(state))
        .col_expr(debt::Column::NextAttemptAt, Expr::value(None::<i64>))
        .col_expr(debt::Column::UpdatedAt, Expr::value(now))
        .filter(which)
        .filter(debt::Column::State.eq(DebtState::Open))
        .exec(tx)
        .await?;
    Ok(marked.rows_affected)
}

/// The open debts of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenDebts {
    /// The kind.
    pub kind: DebtKind,
    /// How many.
    pub count: u64,
    /// When the oldest was recorded.
    pub since: Timestamp,
}

/// The open debts by kind; a kind without one is left out.
pub async fn open_debts(db: &DatabaseConnection) -> Result<Vec<OpenDebts>, DbErr> {
    let rows: Vec<(String, i64, Timestamp)> = debt::Entity::find()
        .select_only()
        .column(debt::Column::Kind)
        .column_as(debt::Column::Id.count(), "count")
        .column_as(debt::Column::CreatedAt.min(), "since")
        .filter(debt::Column::State.eq(DebtState::Open))
        .group_by(debt::Column::Kind)
        .into_tuple()
        .all(db)
        .await?;
    let known = |(kind, count, since): (String, i64, Timestamp)| {
        Some(OpenDebts { kind: kind.parse().ok()?, count: count.unsigned_abs(), since })
    };
    Ok(rows.into_iter().filter_map(known).collect())
}

/// Releases VMID, host name and port that the operation `nonce` took for its server.
async fn release(lock: &impl Authority, nonce: OperationId, now: Timestamp) -> Result<(), DbErr> {
    ports::release(lock, nonce, now).await?;
    vmids::release(lock, nonce, now).await
}
