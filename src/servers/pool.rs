//! A pool of numbers, each held by at most one operation.
//!
//! Every number that was ever held has one row with its current or last holder. The column of the number is unique, so
//! the database decides races, not a read before the write. A released number keeps its row and is handed out again
//! last, so that stale DNS records of an old server have time to expire and its players do not reach a new one.

use std::collections::VecDeque;
use std::fmt::Display;

use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, TryGetable, Value,
};

use crate::db;
use crate::kernel::{OperationId, Timestamp};

/// A table that holds a pool of numbers.
pub(super) trait Pool: EntityTrait {
    /// A number.
    type Number: Copy + Ord + Display + Into<Value> + TryGetable + Send;
    /// Whether a number is in use.
    type State: Copy + PartialEq + Into<Value> + TryGetable + Send;
    /// What a number is called.
    const WHAT: &'static str;
    /// The column of the number.
    const NUMBER: Self::Column;
    /// The column of its state.
    const STATE: Self::Column;
    /// The column of the operation that took it last.
    const OPERATION: Self::Column;
    /// The column of when it was released.
    const RELEASED_AT: Self::Column;
    /// An operation or a server holds it.
    const HELD: Self::State;
    /// The number is not held any more.
    const RELEASED: Self::State;

    /// Every number from `first` to `last`, in order.
    fn numbers(first: Self::Number, last: Self::Number) -> impl Iterator<Item = Self::Number>;
}

/// Why no number could be taken.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// All numbers are in use.
    #[error("every {what} from {first} to {last} is taken")]
    Exhausted {
        /// What a number is called.
        what: &'static str,
        /// The first of them.
        first: String,
        /// The last of them.
        last: String,
    },
    /// The database failed.
    #[error("no number could be taken from a pool")]
    Database(#[from] DbErr),
}

/// A number that is not held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Free<N> {
    /// It was never held.
    Unused(N),
    /// It was held before.
    Released(N),
}

/// A number that has a row.
#[derive(Clone, Copy, Debug)]
struct Known<N> {
    number: N,
    is_released: bool,
    released_at: Option<Timestamp>,
}

/// Tries to take a number from `first` to `last`: the lowest that was never held, or else the one that was released
/// longest ago. Writes the row that `row` returns. `None` if another transaction was faster: roll back and try again.
pub(super) async fn take<P: Pool>(
    tx: &impl ConnectionTrait,
    range: (P::Number, P::Number),
    row: impl Fn(P::Number) -> P::Model,
) -> Result<Option<P::Model>, PoolError>
where
    P::Model: Clone + IntoActiveModel<P::ActiveModel>,
{
    Ok(take_block::<P>(tx, range, 1, row).await?.and_then(|rows| rows.into_iter().next()))
}

/// The same for `count` consecutive numbers.
pub(super) async fn take_block<P: Pool>(
    tx: &impl ConnectionTrait,
    (first, last): (P::Number, P::Number),
    count: usize,
    row: impl Fn(P::Number) -> P::Model,
) -> Result<Option<Vec<P::Model>>, PoolError>
where
    P::Model: Clone + IntoActiveModel<P::ActiveModel>,
{
    let known = list_known::<P>(tx, first, last).await?;
    let exhausted = || PoolError::Exhausted { what: P::WHAT, first: first.to_string(), last: last.to_string() };
    let block = next_block(P::numbers(first, last), &known, count).ok_or_else(exhausted)?;
    let mut taken = Vec::with_capacity(block.len());
    for free in block {
        let (Free::Unused(number) | Free::Released(number)) = free;
        let row = row(number);
        if !write::<P>(tx, free, row.clone()).await? {
            return Ok(None);
        }
        taken.push(row);
    }
    Ok(Some(taken))
}

/// Writes `row` for the number `free`; false if another transaction was faster.
async fn write<P: Pool>(tx: &impl ConnectionTrait, free: Free<P::Number>, row: P::Model) -> Result<bool, DbErr>
where
    P::Model: IntoActiveModel<P::ActiveModel>,
{
    let active = row.into_active_model().reset_all();
    match free {
        Free::Unused(_) => match P::insert(active).exec_without_returning(tx).await {
            Ok(_) => Ok(true),
            Err(error) if db::is_duplicate(&error) => Ok(false),
            Err(error) => Err(error),
        },
        Free::Released(number) => {
            let again = P::update_many().set(active).filter(P::NUMBER.eq(number)).filter(P::STATE.eq(P::RELEASED));
            Ok(again.exec(tx).await?.rows_affected == 1)
        }
    }
}

async fn list_known<P: Pool>(
    db: &impl ConnectionTrait,
    first: P::Number,
    last: P::Number,
) -> Result<Vec<Known<P::Number>>, DbErr> {
    let rows: Vec<(P::Number, P::State, Option<Timestamp>)> = P::find()
        .select_only()
        .columns([P::NUMBER, P::STATE, P::RELEASED_AT])
        .filter(P::NUMBER.between(first, last))
        .order_by_asc(P::NUMBER)
        .into_tuple()
        .all(db)
        .await?;
    let known = |(number, state, released_at)| Known { number, is_released: state == P::RELEASED, released_at };
    Ok(rows.into_iter().map(known).collect())
}

/// The next `count` consecutive numbers of `numbers` to hand out: the lowest that were never held, or else those of which
/// the last was released longest ago. `known` are the numbers that have a row, in order.
fn next_block<N: Copy + Ord>(
    numbers: impl Iterator<Item = N>,
    known: &[Known<N>],
    count: usize,
) -> Option<Vec<Free<N>>> {
    let mut window: VecDeque<(Option<Timestamp>, Free<N>)> = VecDeque::with_capacity(count);
    let mut best: Option<(Timestamp, Vec<Free<N>>)> = None;
    for number in numbers {
        let row = known.binary_search_by_key(&number, |row| row.number).ok().and_then(|at| known.get(at));
        match row {
            None => window.push_back((None, Free::Unused(number))),
            Some(row) if row.is_released => {
                let at = row.released_at.unwrap_or(Timestamp::from_millis(0));
                window.push_back((Some(at), Free::Released(number)));
            }
            Some(_) => window.clear(),
        }
        if window.len() < count {
            continue;
        }
        let block = || window.iter().map(|(_, free)| *free).collect();
        match window.iter().filter_map(|(released_at, _)| *released_at).max() {
            None => return Some(block()),
            Some(at) if best.as_ref().is_none_or(|(before, _)| at < *before) => best = Some((at, block())),
            Some(_) => {}
        }
        window.pop_front();
    }
    best.map(|(_, block)| block)
}

/// The row that `operation` holds.
pub(super) async fn find_held<P: Pool>(
    db: &impl ConnectionTrait,
    operation: OperationId,
) -> Result<Option<P::Model>, DbErr> {
    held_by::<P, _>(P::find(), operation).one(db).await
}

/// The rows that `operation` holds, by number.
pub(super) async fn list_held<P: Pool>(
    db: &impl ConnectionTrait,
    operation: OperationId,
) -> Result<Vec<P::Model>, DbErr> {
    held_by::<P, _>(P::find(), operation).order_by_asc(P::NUMBER).all(db).await
}

/// Releases the numbers that `operation` holds.
pub(super) async fn release<P: Pool>(
    db: &impl ConnectionTrait,
    operation: OperationId,
    now: Timestamp,
) -> Result<(), DbErr> {
    let update =
        P::update_many().col_expr(P::STATE, Expr::value(P::RELEASED)).col_expr(P::RELEASED_AT, Expr::value(now));
    held_by::<P, _>(update, operation).exec(db).await.map(drop)
}

/// Restricts `query` to the number that `operation` holds.
pub(super) fn held_by<P: Pool, Q: QueryFilter>(query: Q, operation: OperationId) -> Q {
    query.filter(P::OPERATION.eq(operation)).filter(P::STATE.eq(P::HELD))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn released(number: i32, at: i64) -> Known<i32> {
        Known { number, is_released: true, released_at: Some(Timestamp::from_millis(at)) }
    }

    fn taken(number: i32) -> Known<i32> {
        Known { number, is_released: false, released_at: None }
    }

    #[test]
    fn unused_numbers_come_first_and_then_the_longest_released() {
        let next = |known: &[Known<i32>]| next_block(5000..=5004, known, 1).map(|block| block[0]);
        let mut rows = vec![released(5000, 30), released(5001, 10), taken(5002), taken(5003)];
        assert_eq!(next(&[]), Some(Free::Unused(5000)));
        assert_eq!(next(&rows), Some(Free::Unused(5004)));
        rows.push(released(5004, 20));
        assert_eq!(next(&rows), Some(Free::Released(5001)));
        assert_eq!(next(&[5000, 5001, 5002, 5003, 5004].map(taken)), None);
    }

    #[test]
    fn a_block_is_consecutive_and_the_longest_released() {
        let next = |known: &[Known<i32>]| next_block(5000..=5005, known, 2);
        assert_eq!(next(&[taken(5001)]), Some(vec![Free::Unused(5002), Free::Unused(5003)]));
        let known = [taken(5001), taken(5003)];
        assert_eq!(next(&known), Some(vec![Free::Unused(5004), Free::Unused(5005)]));
        assert_eq!(next(&[taken(5001), taken(5003), taken(5004)]), None, "single numbers are left");
        let all = [(5000, 50), (5001, 10), (5002, 40), (5003, 30), (5004, 20), (5005, 60)];
        let rows = all.map(|(number, at)| released(number, at));
        assert_eq!(next(&rows), Some(vec![Free::Released(5003), Free::Released(5004)]));
    }

    proptest! {
        #[test]
        fn a_number_that_is_handed_out_was_free(rows in prop::collection::btree_map(5000..5010i32, prop::option::of(0..4i64), 0..10)) {
            let rows: Vec<Known<i32>> =
                rows.into_iter().map(|(number, at)| at.map_or(taken(number), |at| released(number, at))).collect();
            let row = |number| rows.iter().find(|row| row.number == number);
            match next_block(5000..=5009, &rows, 1).map(|block| block[0]) {
                Some(Free::Unused(number)) => prop_assert!(row(number).is_none()),
                Some(Free::Released(number)) => {
                    let chosen = row(number).unwrap();
                    prop_assert_eq!((chosen.is_released, rows.len()), (true, 10));
                    prop_assert!(rows.iter().filter_map(|row| row.released_at).all(|at| Some(at) >= chosen.released_at));
                }
                None => {
                    prop_assert_eq!(rows.len(), 10);
                    prop_assert!(rows.iter().all(|row| !row.is_released));
                }
            }
        }
    }
}
