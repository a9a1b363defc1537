//! The pool of public ports, a [`super::pool`].

use std::ops::RangeInclusive;

use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};

use super::pool::{self, Pool, PoolError};
use crate::db::Authority;
use crate::db::entities::port::{self, PortState};
use crate::kernel::{OperationId, Timestamp};

impl Pool for port::Entity {
    type Number = i32;
    type State = PortState;
    const WHAT: &'static str = "public port";
    const NUMBER: port::Column = port::Column::Port;
    const STATE: port::Column = port::Column::State;
    const OPERATION: port::Column = port::Column::OperationId;
    const RELEASED_AT: port::Column = port::Column::ReleasedAt;
    const HELD: PortState = PortState::Held;
    const RELEASED: PortState = PortState::Released;

    fn numbers(first: i32, last: i32) -> impl Iterator<Item = i32> {
        first..=last
    }
}

/// Tries to take `count` consecutive ports of `range` for `operation`. `None` if another transaction was faster: roll back
/// and try again.
pub async fn take(
    authority: &impl Authority,
    range: &RangeInclusive<u16>,
    count: usize,
    operation: OperationId,
    now: Timestamp,
) -> Result<Option<Vec<u16>>, PoolError> {
    let row = |port| port::Model {
        port,
        operation_id: operation,
        state: PortState::Held,
        created_at: now,
        released_at: None,
    };
    let range = ((*range.start()).into(), (*range.end()).into());
    let taken = pool::take_block::<port::Entity>(authority.connection(), range, count, row).await?;
    Ok(taken.map(numbers))
}

/// Whether any port is in use.
pub async fn is_any_held(db: &impl ConnectionTrait) -> Result<bool, DbErr> {
    let held = port::Entity::find().filter(port::Column::State.eq(PortState::Held)).limit(1);
    let found: Option<i32> = held.select_only().column(port::Column::Port).into_tuple().one(db).await?;
    Ok(found.is_some())
}

/// The ports that `operation` holds, in order.
pub async fn find(db: &impl ConnectionTrait, operation: OperationId) -> Result<Vec<u16>, DbErr> {
    Ok(numbers(pool::list_held::<port::Entity>(db, operation).await?))
}

fn numbers(rows: Vec<port::Model>) -> Vec<u16> {
    rows.into_iter().filter_map(|row| u16::try_from(row.port).ok()).collect()
}

/// Releases the ports that `operation` holds.
pub async fn release(authority: &impl Authority, operation: OperationId, now: Timestamp) -> Result<(), DbErr> {
    pool::release::<port::Entity>(authority.connection(), operation, now).await
}
