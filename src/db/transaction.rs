//! Transactions that behave alike on the three databases, and the class of a database error.

use std::time::Duration;

use sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, RuntimeErr, SqlErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};
use tracing::Instrument;

use super::store_failure::StoreFailure;
use crate::kernel::{Backoff, Failure};

const LIMIT: Duration = Duration::from_secs(15);

/// Begins a transaction. Its isolation level is that of the session, read committed (see
/// [`connect`](super::connect())). On SQLite it locks the database for writing immediately, because a transaction that
/// reads first and writes later can fail.
///
/// The beginning is a task of its own, so that a caller that is dropped meanwhile does not leave a connection inside a
/// transaction of which the pool does not know (launchbadge/sqlx issues 4385 and 4393): it is rolled back instead.
pub async fn begin(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let sqlite_transaction_mode = match db.get_database_backend() {
        DbBackend::Sqlite => Some(SqliteTransactionMode::Immediate),
        _ => None,
    };
    let options = TransactionOptions { isolation_level: None, access_mode: None, sqlite_transaction_mode };
    let db = db.clone();
    let beginning = async move { db.begin_with_options(options).await };
    let ended = |error| DbErr::Custom(format!("the task that begins a transaction ended: {error}"));
    tokio::spawn(beginning.in_current_span()).await.map_err(ended)?
}

/// Whether the error reports a duplicate value in a unique column.
pub fn is_duplicate(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}

/// Whether two transactions conflicted, so that a retry will succeed.
pub fn is_conflict(error: &DbErr) -> bool {
    StoreFailure::of(error) == StoreFailure::Busy
}

/// The failure class of a database error.
pub fn failure(error: &DbErr) -> Failure {
    StoreFailure::of(error).class()
}

/// Awaits `work` with a timeout of 15 seconds, which is longer than the database lets a session wait for a lock. A
/// connection that the network has dropped silently would otherwise report nothing for a quarter of an hour.
pub async fn in_time<T, E: From<DbErr>>(work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let late = |_| DbErr::Conn(RuntimeErr::Internal("the database did not answer in time".to_owned()));
    tokio::time::timeout(LIMIT, work).await.map_err(late)?
}

/// Repeats `work`, a whole transaction, while it fails with a conflict ([`is_conflict`]), at most five times.
pub async fn retry_conflicts<T, E, W, F>(work: W) -> Result<T, E>
where
    W: Fn() -> F,
    F: Future<Output = Result<T, E>>,
    E: AsDbErr,
{
    const SCHEDULE: Backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(200));
    let mut attempt = 0;
    loop {
        match work().await {
            Err(error) if attempt < 4 && error.as_db_err().is_some_and(is_conflict) => {
                tokio::time::sleep(SCHEDULE.jittered(attempt)).await;
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

/// Errors that may carry a database error.
pub trait AsDbErr {
    /// The database error, if this is one.
    fn as_db_err(&self) -> Option<&DbErr>;
}

impl AsDbErr for DbErr {
    fn as_db_err(&self) -> Option<&DbErr> {
        Some(self)
    }
}
