//! Transactions that behave alike on the three databases, and the class of a database error.

use sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, IsolationLevel, RuntimeErr, SqlErr,
    SqliteTransactionMode, TransactionOptions, TransactionTrait,
};

use crate::kernel::{Backoff, Failure};

/// Begins a transaction at isolation level read committed. On SQLite it takes the single writer's place at once,
/// because a reader that becomes a writer later can only fail there.
pub async fn begin(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let (isolation_level, sqlite_transaction_mode) = match db.get_database_backend() {
        DbBackend::Sqlite => (None, Some(SqliteTransactionMode::Immediate)),
        _ => (Some(IsolationLevel::ReadCommitted), None),
    };
    db.begin_with_options(TransactionOptions { isolation_level, access_mode: None, sqlite_transaction_mode }).await
}

/// Whether the error says that a unique column already has this value.
pub fn is_duplicate(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}

/// Whether two transactions got in each other's way and the same work will succeed when repeated.
pub fn is_conflict(error: &DbErr) -> bool {
    let (DbErr::Conn(RuntimeErr::SqlxError(source))
    | DbErr::Exec(RuntimeErr::SqlxError(source))
    | DbErr::Query(RuntimeErr::SqlxError(source))) = error
    else {
        return false;
    };
    let Some(database) = source.as_database_error() else { return false };
    // 40001 serialization failure and 40P01 deadlock (PostgreSQL, MariaDB 1213), 5 and 6 with their
    // extended forms (SQLite busy and locked).
    match database.code().as_deref() {
        Some("40001" | "40P01") => true,
        Some(code) => code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6) && code < 1000),
        None => false,
    }
}

/// The class of a database error: what a repetition may cure, and what not.
pub fn failure(error: &DbErr) -> Failure {
    match error {
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => Failure::Transient,
        DbErr::Exec(RuntimeErr::SqlxError(source)) | DbErr::Query(RuntimeErr::SqlxError(source)) => {
            let answered = source.as_database_error().is_some();
            if answered && !is_conflict(error) { Failure::Permanent } else { Failure::Transient }
        }
        _ => Failure::Permanent,
    }
}

/// Repeats `work`, a whole transaction, while it fails by [`is_conflict`], five times at most.
pub async fn retry_conflicts<T, E, W, F>(work: W) -> Result<T, E>
where
    W: Fn() -> F,
    F: Future<Output = Result<T, E>>,
    E: AsDbErr,
{
    const SCHEDULE: Backoff = Backoff::new(std::time::Duration::from_millis(10), std::time::Duration::from_millis(200));
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
    /// The database error inside, if that is what went wrong.
    fn as_db_err(&self) -> Option<&DbErr>;
}

impl AsDbErr for DbErr {
    fn as_db_err(&self) -> Option<&DbErr> {
        Some(self)
    }
}
