//! Connections for single statements that only read, kept on the runtime that uses them.
//!
//! A pool passes a connection from thread to thread, and checks it whenever it is returned: a statement costs two round
//! trips, and most of its answers wake another thread. Here every runtime (the server has one for each
//! of its threads) has a few connections of its own on PostgreSQL. They never carry a transaction, so there is nothing
//! to roll back; a connection whose statement failed or was dropped is closed. Everything else goes to the pool: writes,
//! other databases, runtimes without connections of their own, and statements that find no new connection.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection, PgRow, Postgres};
use sea_orm::sqlx::query::Query;
use sea_orm::sqlx::{self, AssertSqlSafe, Connection};
use sea_orm::{
    ConnAcquireErr, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr,
    Statement,
};
use sea_query_sqlx::SqlxValues;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::connect::{ACQUIRE_TIMEOUT, CHECK, FRESH, IDLE, LIFETIME};
use super::store_failure::StoreFailure;

/// How the connections of a process are divided between its pool and its runtimes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Division {
    /// The connections of the pool.
    pub pool: u32,
    /// The runtimes that have connections of their own.
    runtimes: u32,
    /// The connections of each of them.
    each: u32,
}

impl Division {
    /// Divides `all` connections: up to half of them, at the same number for each of `runtimes`, and the rest for the
    /// pool.
    pub fn of(all: u32, runtimes: u32) -> Self {
        let half = all / 2;
        let runtimes = runtimes.min(half);
        let each = half.checked_div(runtimes).unwrap_or(0);
        Self { pool: all - runtimes * each, runtimes, each }
    }

    /// All connections for the pool.
    pub const fn undivided(all: u32) -> Self {
        Self { pool: all, runtimes: 0, each: 0 }
    }
}

/// Runs statements that read. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reads {
    pool: DatabaseConnection,
    lanes: Option<Arc<Lanes>>,
}

impl Reads {
    /// Reads in the database of `pool`, with further connections as in `division`.
    pub fn new(pool: DatabaseConnection, division: Division) -> Self {
        let lanes = (division.each > 0 && pool.get_database_backend() == DbBackend::Postgres).then(|| {
            let options = pool.get_postgres_connection_pool().connect_options().as_ref().clone();
            Arc::new(Lanes { options, division, of: Mutex::default() })
        });
        Self { pool, lanes }
    }

    /// A connection of this runtime; `None` when the pool has to be used.
    async fn borrow(&self) -> Result<Option<Borrowed>, DbErr> {
        let Some(lane) = self.lanes.as_ref().and_then(|lanes| lanes.here()) else { return Ok(None) };
        let place = match lane.places.clone().try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                let waiting = timeout(ACQUIRE_TIMEOUT, lane.places.clone().acquire_owned()).await;
                waiting.ok().and_then(Result::ok).ok_or(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))?
            }
        };
        let idle = lane.idle().pop();
        let kept = match idle {
            Some(kept) => kept.checked().await,
            None => None,
        };
        let kept = match kept {
            Some(kept) => kept,
            None => match timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(&lane.options)).await {
                Ok(Ok(connection)) => Kept { connection, made: Instant::now(), used: Instant::now() },
                // The pool keeps trying for a while, and reports why it cannot connect.
                Ok(Err(_)) | Err(_) => return Ok(None),
            },
        };
        Ok(Some(Borrowed { kept, lane, _place: place }))
    }
}

#[async_trait]
impl ConnectionTrait for Reads {
    fn get_database_backend(&self) -> DbBackend {
        self.pool.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.pool.execute_raw(statement).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.pool.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let Some(mut borrowed) = self.borrow().await? else { return self.pool.query_one_raw(statement).await };
        let row = query(&statement).fetch_optional(&mut borrowed.kept.connection).await;
        match borrowed.finish(row) {
            Err(error) if is_lost(&error) => self.pool.query_one_raw(statement).await,
            row => Ok(row?.map(QueryResult::from)),
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let Some(mut borrowed) = self.borrow().await? else { return self.pool.query_all_raw(statement).await };
        let rows: Result<Vec<PgRow>, _> = query(&statement).fetch_all(&mut borrowed.kept.connection).await;
        match borrowed.finish(rows) {
            Err(error) if is_lost(&error) => self.pool.query_all_raw(statement).await,
            rows => Ok(rows?.into_iter().map(QueryResult::from).collect()),
        }
    }
}

/// Whether the connection was lost. What only reads may be repeated.
fn is_lost(error: &DbErr) -> bool {
    StoreFailure::of(error) == StoreFailure::Away
}

fn query(statement: &Statement) -> Query<'_, Postgres, SqlxValues> {
    let values = statement.values.clone().unwrap_or_else(|| sea_orm::Values(Vec::new()));
    sqlx::query_with(AssertSqlSafe(statement.sql.as_str()), SqlxValues(values))
}

/// The connections of each runtime.
struct Lanes {
    options: PgConnectOptions,
    division: Division,
    of: Mutex<HashMap<tokio::runtime::Id, Arc<Lane>>>,
}

impl Lanes {
    /// The lane of this runtime, unless enough others have one.
    fn here(&self) -> Option<Arc<Lane>> {
        let mut lanes = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, full) = (Handle::current().id(), lanes.len() >= self.division.runtimes as usize);
        match lanes.get(&id) {
            Some(lane) => Some(lane.clone()),
            None if full => None,
            None => {
                let places = Arc::new(Semaphore::new(self.division.each as usize));
                let lane = Arc::new(Lane { options: self.options.clone(), places, idle: Mutex::default() });
                lanes.insert(id, lane.clone());
                Some(lane)
            }
        }
    }
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes").field("division", &self.division).finish_non_exhaustive()
    }
}

/// The connections of one runtime.
struct Lane {
    options: PgConnectOptions,
    /// Each connection in use has one.
    places: Arc<Semaphore>,
    idle: Mutex<Vec<Kept>>,
}

impl Lane {
    fn idle(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection between two statements.
struct Kept {
    connection: PgConnection,
    made: Instant,
    used: Instant,
}

impl Kept {
    /// The connection, if it may still be used and works.
    async fn checked(mut self) -> Option<Self> {
        if self.made.elapsed() > LIFETIME || self.used.elapsed() > IDLE {
            return None;
        }
        if self.used.elapsed() < FRESH {
            return Some(self);
        }
        let answer = timeout(CHECK, self.connection.ping()).await;
        answer.is_ok_and(|answer| answer.is_ok()).then_some(self)
    }
}

/// A connection in use. Dropped before it is finished, it is closed.
struct Borrowed {
    kept: Kept,
    lane: Arc<Lane>,
    _place: OwnedSemaphorePermit,
}

impl Borrowed {
    /// Keeps the connection for the next statement if this one succeeded.
    fn finish<T>(self, result: Result<T, sqlx::Error>) -> Result<T, DbErr> {
        let value = result.map_err(|error| DbErr::Query(RuntimeErr::SqlxError(Arc::new(error))))?;
        self.lane.idle().push(Kept { used: Instant::now(), ..self.kept });
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_connections_are_divided_evenly() {
        let divided = |all, runtimes| {
            let Division { pool, runtimes, each } = Division::of(all, runtimes);
            (pool, runtimes, each)
        };
        assert_eq!(divided(10, 2), (6, 2, 2));
        assert_eq!(divided(10, 16), (5, 5, 1));
        assert_eq!(divided(40, 4), (20, 4, 5));
        assert_eq!(divided(2, 8), (1, 1, 1));
        assert_eq!(divided(1, 8), (1, 0, 0));
        assert_eq!(divided(10, 0), (10, 0, 0));
    }
}
