//! The pool of public ports, a [`super::pool`].

use std::ops::RangeInclusive;

use sea_orm::{ConnectionTrait, DbErr};

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

/// Tries to take a port of `range` for `operation`. `None` if another transaction was faster: roll back and try again.
pub async fn take(
    authority: &impl Authority,
    range: &RangeInclusive<u16>,
    operation: OperationId,
    now: Timestamp,
) -> Result<Option<u16>, PoolError> {
    let row = |port| port::Model {
        port,
        operation_id: operation,
        state: PortState::Held,
        created_at: now,
        released_at: None,
    };
    let taken =
        pool::take::<port::Entity>(authority.connection(), ((*range.start()).into(), (*range.end()).into()), row)
            .await?;
    Ok(taken.and_then(|row| u16::try_from(row.port).ok()))
}

/// The port that `operation` holds.
pub async fn find(db: &impl ConnectionTrait, operation: OperationId) -> Result<Option<u16>, DbErr> {
    let row = pool::find_held::<port::Entity>(db, operation).await?;
    Ok(row.and_then(|row| u16::try_from(row.port).ok()))
}

/// Releases the port that `operation` holds.
pub async fn release(authority: &impl Authority, operation: OperationId, now: Timestamp) -> Result<(), DbErr> {
    pool::release::<port::Entity>(authority.connection(), operation, now).await
}
