//! The pool of VMIDs, a [`super::pool`] that also reserves a unique host name with each VMID.
//!
//! A VMID that is used outside zpack is *burned*: it is not handed out again until an operator frees it. The row also
//! records the memory that is committed to the container, and on which node.

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};

use super::pool::{self, Pool, PoolError};
use crate::db::Authority;
use crate::db::entities::reservation::{self, ReservationState};
use crate::kernel::{Hostname, OperationId, Timestamp, VmId, VmIdRange};
use crate::ports::NodeName;

impl Pool for reservation::Entity {
    type Number = VmId;
    type State = ReservationState;
    const WHAT: &'static str = "VMID";
    const NUMBER: reservation::Column = reservation::Column::Vmid;
    const STATE: reservation::Column = reservation::Column::State;
    const OPERATION: reservation::Column = reservation::Column::OperationId;
    const RELEASED_AT: reservation::Column = reservation::Column::ReleasedAt;
    const HELD: ReservationState = ReservationState::Held;
    const RELEASED: ReservationState = ReservationState::Released;

    fn numbers(first: VmId, last: VmId) -> impl Iterator<Item = VmId> {
        (first.get()..=last.get()).filter_map(|number| VmId::new(number.into()).ok())
    }
}

/// Tries to reserve a VMID of `range` for `operation`, and the host name that `name` returns. `None` if another
/// transaction was faster: roll back and try again.
pub async fn reserve(
    authority: &impl Authority,
    range: VmIdRange,
    name: impl Fn(VmId) -> Hostname,
    operation: OperationId,
    now: Timestamp,
) -> Result<Option<reservation::Model>, PoolError> {
    let row = |vmid| reservation::Model {
        vmid,
        hostname: name(vmid),
        state: ReservationState::Held,
        operation_id: operation,
        created_at: now,
        released_at: None,
        node: None,
        memory_mib: None,
    };
    pool::take::<reservation::Entity>(authority.connection(), (range.first, range.last), row).await
}

/// The row of `vmid`, with its current or last holder.
pub async fn find(db: &impl ConnectionTrait, vmid: VmId) -> Result<Option<reservation::Model>, DbErr> {
    reservation::Entity::find_by_id(vmid).one(db).await
}

/// The VMIDs that were held once and are released.
pub async fn list_released(db: &impl ConnectionTrait) -> Result<Vec<VmId>, DbErr> {
    let released = reservation::Entity::find().filter(reservation::Column::State.eq(ReservationState::Released));
    released.select_only().column(reservation::Column::Vmid).into_tuple().all(db).await
}

/// The VMID that `operation` holds; not one that it burned or released.
pub async fn find_by_operation(
    db: &impl ConnectionTrait,
    operation: OperationId,
) -> Result<Option<reservation::Model>, DbErr> {
    pool::find_held::<reservation::Entity>(db, operation).await
}

/// Memory committed to a container that is being created or about to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryCommitment {
    /// Its number.
    pub vmid: VmId,
    /// The node it goes to.
    pub node: NodeName,
    /// Its limit.
    pub memory_mib: u32,
}

/// Commits memory on `node` to the container of `operation`, so that later placements count it.
pub async fn commit_memory(
    authority: &impl Authority,
    operation: OperationId,
    node: &NodeName,
    memory_mib: u32,
) -> Result<(), DbErr> {
    reservation::Entity::update_many()
        .col_expr(reservation::Column::Node, Expr::value(node.as_str()))
        .col_expr(reservation::Column::MemoryMib, Expr::value(i64::from(memory_mib)))
        .filter(reservation::Column::OperationId.eq(operation))
        .filter(reservation::Column::State.eq(ReservationState::Held))
        .exec(authority.connection())
        .await
        .map(drop)
}

/// The memory committed to all operations but `operation`.
pub async fn list_memory_commitments(
    db: &impl ConnectionTrait,
    operation: OperationId,
) -> Result<Vec<MemoryCommitment>, DbErr> {
    let rows: Vec<(VmId, String, i32)> = reservation::Entity::find()
        .select_only()
        .columns([reservation::Column::Vmid, reservation::Column::Node, reservation::Column::MemoryMib])
        .filter(reservation::Column::State.eq(ReservationState::Held))
        .filter(reservation::Column::OperationId.ne(operation))
        .filter(reservation::Column::Node.is_not_null())
        .filter(reservation::Column::MemoryMib.is_not_null())
        .into_tuple()
        .all(db)
        .await?;
    let commitment = |(vmid, node, memory_mib): (VmId, String, i32)| MemoryCommitment {
        vmid,
        node: NodeName::new(node),
        memory_mib: u32::try_from(memory_mib).unwrap_or(0),
    };
    Ok(rows.into_iter().map(commitment).collect())
}

/// Marks the VMID of `operation` as used outside zpack.
pub async fn burn(authority: &impl Authority, vmid: VmId, operation: OperationId) -> Result<(), DbErr> {
    reservation::Entity::update_many()
        .col_expr(reservation::Column::State, Expr::value(ReservationState::Burned))
        .filter(reservation::Column::Vmid.eq(vmid))
        .filter(reservation::Column::OperationId.eq(operation))
        .exec(authority.connection())
        .await
        .map(drop)
}

/// Locks the row of a VMID for this transaction, so that only one transaction at a time decides whether it is released.
pub async fn lock(tx: &impl ConnectionTrait, vmid: VmId) -> Result<(), DbErr> {
    reservation::Entity::update_many()
        .col_expr(reservation::Column::Vmid, Expr::col(reservation::Column::Vmid))
        .filter(reservation::Column::Vmid.eq(vmid))
        .exec(tx)
        .await
        .map(drop)
}

/// Releases the VMID that `operation` holds; it becomes the last one of its range to be reused. Burned VMIDs stay
/// burned.
pub async fn release(authority: &impl Authority, operation: OperationId, now: Timestamp) -> Result<(), DbErr> {
    pool::release::<reservation::Entity>(authority.connection(), operation, now).await
}
