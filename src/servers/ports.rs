//! Who holds which public port. The column is unique: the database decides, not a look before the leap.
//!
//! A port that was released keeps its row and comes last, so that players of an old server do not meet a new one.

use std::ops::RangeInclusive;

use sea_orm::sea_query::Expr;
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter};

use crate::db;
use crate::db::entities::port::{self, PortState};
use crate::kernel::{OperationId, Timestamp};

/// Why no port could be taken.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Every port of the pool is held.
    #[error("every public port from {} to {} is taken", .pool.start(), .pool.end())]
    PoolExhausted {
        /// The pool.
        pool: RangeInclusive<u16>,
    },
    /// The database failed.
    #[error("a public port could not be taken")]
    Database(#[from] DbErr),
}

/// Tries to take a port of `pool` for `operation`: the lowest that was never held, or else the one that was released
/// longest ago. `None` when somebody else was faster: roll back and try again.
pub async fn take(
    tx: &impl ConnectionTrait,
    pool: &RangeInclusive<u16>,
    operation: OperationId,
    now: Timestamp,
) -> Result<Option<u16>, PortError> {
    let range = i32::from(*pool.start())..=i32::from(*pool.end());
    let known = port::Entity::find().filter(port::Column::Port.between(*range.start(), *range.end())).all(tx).await?;
    let choice = next_free(pool, &known).ok_or_else(|| PortError::PoolExhausted { pool: pool.clone() })?;
    let (Free::Unused(number) | Free::Released(number)) = choice;
    let row = port::Model {
        port: i32::from(number),
        operation_id: operation,
        state: PortState::Held,
        created_at: now,
        released_at: None,
    };
    let row = row.into_active_model().reset_all();
    let taken = match choice {
        Free::Unused(_) => match port::Entity::insert(row).exec_without_returning(tx).await {
            Ok(_) => true,
            Err(error) if db::is_duplicate(&error) => false,
            Err(error) => return Err(error.into()),
        },
        Free::Released(_) => {
            let again = port::Entity::update_many()
                .set(row)
                .filter(port::Column::Port.eq(i32::from(number)))
                .filter(port::Column::State.eq(PortState::Released));
            again.exec(tx).await?.rows_affected == 1
        }
    };
    Ok(taken.then_some(number))
}

/// A port nobody holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Free {
    /// It was never held.
    Unused(u16),
    /// It was held before.
    Released(u16),
}

fn next_free(pool: &RangeInclusive<u16>, known: &[port::Model]) -> Option<Free> {
    let row = |number: u16| known.iter().find(|row| row.port == i32::from(number));
    let unused = pool.clone().find(|number| row(*number).is_none()).map(Free::Unused);
    unused.or_else(|| {
        let released = known.iter().filter(|row| row.state == PortState::Released);
        let oldest = released.min_by_key(|row| (row.released_at, row.port))?;
        u16::try_from(oldest.port).ok().map(Free::Released)
    })
}

/// The port `operation` holds.
pub async fn find(db: &impl ConnectionTrait, operation: OperationId) -> Result<Option<u16>, DbErr> {
    let row = held_by(port::Entity::find(), operation).one(db).await?;
    Ok(row.and_then(|row| u16::try_from(row.port).ok()))
}

/// Releases what `operation` holds.
pub async fn release(db: &impl ConnectionTrait, operation: OperationId, now: Timestamp) -> Result<(), DbErr> {
    let update = port::Entity::update_many()
        .col_expr(port::Column::State, Expr::value(PortState::Released))
        .col_expr(port::Column::ReleasedAt, Expr::value(now));
    held_by(update, operation).exec(db).await.map(drop)
}

fn held_by<Q: QueryFilter>(query: Q, operation: OperationId) -> Q {
    query.filter(port::Column::OperationId.eq(operation)).filter(port::Column::State.eq(PortState::Held))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(port: i32, state: PortState, released_at: Option<i64>) -> port::Model {
        let released_at = released_at.map(Timestamp::from_millis);
        let (operation_id, created_at) = (OperationId::generate(), Timestamp::from_millis(0));
        port::Model { port, operation_id, state, created_at, released_at }
    }

    #[test]
    fn unused_ports_come_first_and_then_the_longest_unused() {
        use PortState::{Held, Released};
        let pool = 50_000..=50_002;
        assert_eq!(next_free(&pool, &[]), Some(Free::Unused(50_000)));
        let rows = [row(50_000, Released, Some(9)), row(50_001, Held, None)];
        assert_eq!(next_free(&pool, &rows), Some(Free::Unused(50_002)));
        let rows = [row(50_000, Released, Some(9)), row(50_001, Released, Some(3)), row(50_002, Held, None)];
        assert_eq!(next_free(&pool, &rows), Some(Free::Released(50_001)));
        let rows = [row(50_000, Held, None), row(50_001, Held, None), row(50_002, Held, None)];
        assert_eq!(next_free(&pool, &rows), None);
    }
}
