//! Who holds which VMID and host name. Both columns are unique: the database decides, not a look before the leap.

use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use crate::db;
use crate::db::entities::reservation::{self, ReservationState};
use crate::kernel::{Hostname, OperationId, Timestamp, VmId, VmIdRange};

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

/// Reserves a number of `range` and the host name `name` gives it, for `operation`. A number that was freed lately is
/// taken last, so that stale records of its old server have time to vanish.
pub async fn reserve(
    db: &DatabaseConnection,
    range: VmIdRange,
    name: impl Fn(VmId) -> Hostname,
    operation: OperationId,
    now: Timestamp,
) -> Result<reservation::Model, ReserveError> {
    loop {
        let Some(vmid) = next_free(db, range).await? else { return Err(ReserveError::RangeExhausted { range }) };
        let row = reservation::Model {
            vmid,
            hostname: name(vmid),
            state: ReservationState::Held,
            operation_id: operation,
            created_at: now,
        };
        match insert(db, &row).await {
            Ok(()) => return Ok(row),
            // Somebody was faster; the next look sees it taken.
            Err(error) if db::is_duplicate(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

async fn insert(db: &DatabaseConnection, row: &reservation::Model) -> Result<(), DbErr> {
    let active = reservation::ActiveModel {
        vmid: Set(row.vmid),
        hostname: Set(row.hostname.clone()),
        state: Set(row.state),
        operation_id: Set(row.operation_id),
        created_at: Set(row.created_at),
    };
    reservation::Entity::insert(active).exec_without_returning(db).await.map(drop)
}

/// The first free number behind the one reserved last, or else the first free one.
async fn next_free(db: &DatabaseConnection, range: VmIdRange) -> Result<Option<VmId>, DbErr> {
    let taken: Vec<(VmId, Timestamp)> = reservation::Entity::find()
        .select_only()
        .column(reservation::Column::Vmid)
        .column(reservation::Column::CreatedAt)
        .filter(reservation::Column::Vmid.between(range.first, range.last))
        .order_by_asc(reservation::Column::Vmid)
        .into_tuple()
        .all(db)
        .await?;
    let newest = taken.iter().max_by_key(|(vmid, at)| (*at, *vmid)).map_or(range.first, |(vmid, _)| *vmid);
    let taken: Vec<VmId> = taken.into_iter().map(|(vmid, _)| vmid).collect();
    let free = |number: &i32| {
        let vmid = VmId::new(i64::from(*number)).ok()?;
        taken.binary_search(&vmid).is_err().then_some(vmid)
    };
    let behind = newest.get()..=range.last.get();
    let before = range.first.get()..=newest.get();
    Ok(behind.chain(before).find_map(|number| free(&number)))
}

/// What `operation` holds, burned numbers left out.
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

/// Frees what `operation` holds. Burned numbers stay burned.
pub async fn release(db: &impl ConnectionTrait, operation: OperationId) -> Result<(), DbErr> {
    reservation::Entity::delete_many()
        .filter(reservation::Column::OperationId.eq(operation))
        .filter(reservation::Column::State.eq(ReservationState::Held))
        .exec(db)
        .await
        .map(drop)
}
