//! Who holds which VMID and host name. Both columns are unique: the database decides, not a look before the leap.
//!
//! A number that was released keeps its row, which says since when nobody holds it.

use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect,
};

use crate::db;
use crate::db::entities::reservation::{self, ReservationState};
use crate::kernel::{Hostname, OperationId, Timestamp, VmId, VmIdRange};
use crate::ports::NodeName;

/// Why no number could be reserved.
#[derive(Debug, thiserror::Error)]
pub enum ReserveError {
    /// Every number of the range is held or burned.
    #[error("every VMID from {} to {} is taken", .range.first, .range.last)]
    RangeExhausted {
        /// The range.
        range: VmIdRange,
    },
    /// The database failed.
    #[error("a VMID could not be reserved")]
    Database(#[from] DbErr),
}

/// A number nobody holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Free {
    /// It was never held.
    Unused(VmId),
    /// It was held before.
    Released(VmId),
}

/// A number of the range that has a row.
#[derive(Clone, Copy, Debug, FromQueryResult)]
struct Known {
    vmid: VmId,
    state: ReservationState,
    released_at: Option<Timestamp>,
}

/// Tries to reserve a number of `range` and the host name `name` gives it, for `operation`: the lowest that was never
/// held, or else the one that was released longest ago, so that stale records of an old server have time to vanish.
/// `None` when somebody else was faster: roll back and try again, the number is seen taken then.
pub async fn reserve(
    tx: &impl ConnectionTrait,
    range: VmIdRange,
    name: impl Fn(VmId) -> Hostname,
    operation: OperationId,
    now: Timestamp,
) -> Result<Option<reservation::Model>, ReserveError> {
    let free = next_free(range, &list_known(tx, range).await?).ok_or(ReserveError::RangeExhausted { range })?;
    let (Free::Unused(vmid) | Free::Released(vmid)) = free;
    let row = reservation::Model {
        vmid,
        hostname: name(vmid),
        state: ReservationState::Held,
        operation_id: operation,
        created_at: now,
        released_at: None,
        node: None,
        memory_mib: None,
    };
    let taken = match free {
        Free::Unused(_) => insert(tx, &row).await?,
        Free::Released(_) => take_again(tx, &row).await?,
    };
    Ok(taken.then_some(row))
}

async fn list_known(db: &impl ConnectionTrait, range: VmIdRange) -> Result<Vec<Known>, DbErr> {
    reservation::Entity::find()
        .select_only()
        .columns([reservation::Column::Vmid, reservation::Column::State, reservation::Column::ReleasedAt])
        .filter(reservation::Column::Vmid.between(range.first, range.last))
        .order_by_asc(reservation::Column::Vmid)
        .into_model()
        .all(db)
        .await
}

/// The number of `range` to hand out next, where `known` are those that have a row, by number.
fn next_free(range: VmIdRange, known: &[Known]) -> Option<Free> {
    let unused = (range.first.get()..=range.last.get())
        .filter_map(|number| VmId::new(i64::from(number)).ok())
        .find(|vmid| known.binary_search_by_key(vmid, |row| row.vmid).is_err());
    let released = || {
        let released = known.iter().filter(|row| row.state == ReservationState::Released);
        released.min_by_key(|row| (row.released_at, row.vmid)).map(|row| Free::Released(row.vmid))
    };
    unused.map(Free::Unused).or_else(released)
}

/// Writes the first row of a number; false when somebody else did.
async fn insert(db: &impl ConnectionTrait, row: &reservation::Model) -> Result<bool, DbErr> {
    let active = row.clone().into_active_model().reset_all();
    match reservation::Entity::insert(active).exec_without_returning(db).await {
        Ok(_) => Ok(true),
        Err(error) if db::is_duplicate(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes a number that was released; false when somebody else did.
async fn take_again(db: &impl ConnectionTrait, row: &reservation::Model) -> Result<bool, DbErr> {
    let taken = reservation::Entity::update_many()
        .set(row.clone().into_active_model().reset_all())
        .filter(reservation::Column::Vmid.eq(row.vmid))
        .filter(reservation::Column::State.eq(ReservationState::Released))
        .exec(db)
        .await?;
    Ok(taken.rows_affected == 1)
}

/// What `operation` holds; neither what it burned nor what it released.
pub async fn find_by_operation(
    db: &impl ConnectionTrait,
    operation: OperationId,
) -> Result<Option<reservation::Model>, DbErr> {
    reservation::Entity::find()
        .filter(reservation::Column::OperationId.eq(operation))
        .filter(reservation::Column::State.eq(ReservationState::Held))
        .one(db)
        .await
}

/// Memory promised to a container that is made or about to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Its number.
    pub vmid: VmId,
    /// The node it goes to.
    pub node: NodeName,
    /// Its limit.
    pub memory_mib: u32,
}

/// Promises memory on `node` to the container of `operation`, for whoever decides next where one goes.
pub async fn promise(
    db: &impl ConnectionTrait,
    operation: OperationId,
    node: &NodeName,
    memory_mib: u32,
) -> Result<(), DbErr> {
    reservation::Entity::update_many()
        .col_expr(reservation::Column::Node, Expr::value(node.as_str()))
        .col_expr(reservation::Column::MemoryMib, Expr::value(i64::from(memory_mib)))
        .filter(reservation::Column::OperationId.eq(operation))
        .filter(reservation::Column::State.eq(ReservationState::Held))
        .exec(db)
        .await
        .map(drop)
}

/// What is promised to everybody but `operation`.
pub async fn list_promises(db: &impl ConnectionTrait, operation: OperationId) -> Result<Vec<Promise>, DbErr> {
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
    let promise = |(vmid, node, memory_mib): (VmId, String, i32)| Promise {
        vmid,
        node: NodeName::new(node),
        memory_mib: u32::try_from(memory_mib).unwrap_or(0),
    };
    Ok(rows.into_iter().map(promise).collect())
}

/// Marks a number as used by somebody outside zpack: it is not handed out again until an operator frees it.
pub async fn burn(db: &impl ConnectionTrait, vmid: VmId, operation: OperationId) -> Result<(), DbErr> {
    reservation::Entity::update_many()
        .col_expr(reservation::Column::State, Expr::value(ReservationState::Burned))
        .filter(reservation::Column::Vmid.eq(vmid))
        .filter(reservation::Column::OperationId.eq(operation))
        .exec(db)
        .await
        .map(drop)
}

/// Locks the row of a number for this transaction: whoever decides whether it is released waits for whoever does.
pub async fn lock(tx: &impl ConnectionTrait, vmid: VmId) -> Result<(), DbErr> {
    reservation::Entity::update_many()
        .col_expr(reservation::Column::Vmid, Expr::col(reservation::Column::Vmid))
        .filter(reservation::Column::Vmid.eq(vmid))
        .exec(tx)
        .await
        .map(drop)
}

/// Releases what `operation` holds; the number comes last in its range. Burned numbers stay burned.
pub async fn release(db: &impl ConnectionTrait, operation: OperationId, now: Timestamp) -> Result<(), DbErr> {
    reservation::Entity::update_many()
        .col_expr(reservation::Column::State, Expr::value(ReservationState::Released))
        .col_expr(reservation::Column::ReleasedAt, Expr::value(now))
        .filter(reservation::Column::OperationId.eq(operation))
        .filter(reservation::Column::State.eq(ReservationState::Held))
        .exec(db)
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vmid(number: i32) -> VmId {
        VmId::new(number.into()).unwrap()
    }

    fn known(number: i32, state: ReservationState, released_at: Option<i64>) -> Known {
        Known { vmid: vmid(number), state, released_at: released_at.map(Timestamp::from_millis) }
    }

    #[test]
    fn unused_numbers_come_first_and_then_the_longest_unused() {
        use ReservationState::{Burned, Held, Released};
        let range = "5000-5004".parse().unwrap();
        let mut rows = vec![
            known(5000, Released, Some(30)),
            known(5001, Released, Some(10)),
            known(5002, Burned, None),
            known(5003, Held, None),
        ];
        assert_eq!(next_free(range, &[]), Some(Free::Unused(vmid(5000))));
        assert_eq!(next_free(range, &rows), Some(Free::Unused(vmid(5004))));
        rows.push(known(5004, Released, Some(20)));
        assert_eq!(next_free(range, &rows), Some(Free::Released(vmid(5001))));
        for row in &mut rows {
            row.state = if row.state == Released { Held } else { row.state };
        }
        assert_eq!(next_free(range, &rows), None);
    }

    proptest! {
        #[test]
        fn what_is_handed_out_was_free(rows in prop::collection::btree_map(5000..5010i32, (0..3usize, 0..4i64), 0..10)) {
            let rows: Vec<Known> = rows
                .into_iter()
                .map(|(number, (state, at))| {
                    let state = ReservationState::ALL[state];
                    known(number, state, (state == ReservationState::Released).then_some(at))
                })
                .collect();
            let row = |vmid| rows.iter().find(|row| row.vmid == vmid);
            match next_free("5000-5009".parse().unwrap(), &rows) {
                Some(Free::Unused(vmid)) => prop_assert!(row(vmid).is_none()),
                Some(Free::Released(vmid)) => {
                    let chosen = row(vmid).unwrap();
                    prop_assert_eq!((chosen.state, rows.len()), (ReservationState::Released, 10));
                    prop_assert!(rows.iter().filter_map(|row| row.released_at).all(|at| Some(at) >= chosen.released_at));
                }
                None => {
                    prop_assert_eq!(rows.len(), 10);
                    prop_assert!(rows.iter().all(|row| row.state != ReservationState::Released));
                }
            }
        }
    }
}
