//! Opens the connection pool of a process. Sessions behave alike on the three databases, and an unreachable database is
//! an error within seconds rather than a hang.

use std::time::Duration;

use futures_util::FutureExt;
use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::sqlx::{self, Connection, Executor, PgConnection};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbErr};
use tracing::log::LevelFilter;

use super::transaction::is_conflict;
use crate::kernel::{Classify, Failure, Secret};

/// How long a request waits for a connection before it fails.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// The timeout of the first connection.
const OPENING: Duration = Duration::from_secs(6);
/// The timeout of the check of a returned connection.
pub(super) const CHECK: Duration = Duration::from_secs(2);
/// A connection that was used more recently than this is not probed before its next use.
pub(super) const FRESH: Duration = Duration::from_millis(200);
/// An unused connection is closed after this time.
pub(super) const IDLE: Duration = Duration::from_secs(300);
/// A connection is replaced at this age.
pub(super) const LIFETIME: Duration = Duration::from_secs(1800);
/// How long a writer of SQLite waits for the previous writer.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// The wait between attempts to open a SQLite file that other processes open at the same time.
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// SQLite has one writer; more connections only serve readers, and each is a thread.
const SQLITE_MAX_CONNECTIONS: u32 = 8;

/// The settings of a session of MariaDB, independent of the server's defaults.
const MARIADB_SESSION: &[&str] = &[
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE,\
     NO_ENGINE_SUBSTITUTION,PIPES_AS_CONCAT'",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION innodb_lock_wait_timeout = 10",
    // A worker that loses its connection in a transaction must not hold its locks for ever.
    "SET SESSION idle_transaction_timeout = 15",
];

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The scheme is none of `sqlite`, `postgres`, `mysql`.
    #[error("the address of the database has an unknown scheme")]
    Scheme,
    /// It does not answer, or refuses the connection.
    #[error("cannot connect to the database {place}")]
    Unreachable {
        /// Its address without credentials.
        place: String,
        /// The error of the driver.
        source: DbErr,
    },
}

impl Classify for ConnectError {
    fn failure(&self) -> Failure {
        match self {
            Self::Scheme => Failure::NeedsOperator,
            Self::Unreachable { .. } => Failure::Transient,
        }
    }
}

/// Opens a pool of at most `max_connections` to the database at `url` (`sqlite://`, `postgres://` or `mysql://`).
/// Returns once one connection works. The file of a SQLite database is created if it is missing.
pub async fn connect(url: &Secret, max_connections: u32) -> Result<DatabaseConnection, ConnectError> {
    let address = url.expose();
    let mut options = ConnectOptions::new(address);
    options
        .min_connections(1)
        .max_connections(max_connections)
        .connect_timeout(ACQUIRE_TIMEOUT)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(Some(IDLE))
        .max_lifetime(Some(LIFETIME))
        // `probe` checks connections, and only those that were idle for a while.
        .test_before_acquire(false)
        .sqlx_logging_level(LevelFilter::Debug)
        .sqlx_slow_statements_logging_settings(LevelFilter::Debug, Duration::from_secs(1))
        // The values of statements must not appear in traces.
        .record_stmt_in_spans(false);
    match address.split(':').next() {
        Some("sqlite") => sqlite(&mut options, max_connections),
        Some("postgres") => postgres(&mut options),
        Some("mysql") => mariadb(&mut options),
        _ => return Err(ConnectError::Scheme),
    }
    let unreachable = |source| ConnectError::Unreachable { place: place(address), source };
    let opening = tokio::time::timeout(OPENING, open(&options));
    let silent = |_| unreachable(DbErr::Custom("no answer in time".to_owned()));
    let db = opening.await.map_err(silent)?.map_err(unreachable)?;
    db.execute_unprepared("SELECT 1").await.map_err(unreachable)?;
    Ok(db)
}

/// Opens the pool. Two processes that switch a new SQLite file to its write-ahead log at the same time can conflict
/// without waiting for each other: the one that fails tries again.
async fn open(options: &ConnectOptions) -> Result<DatabaseConnection, DbErr> {
    loop {
        match Database::connect(options.clone()).await {
            Err(error) if is_conflict(&error) => tokio::time::sleep(BUSY_PAUSE).await,
            opened => return opened,
        }
    }
}

fn sqlite(options: &mut ConnectOptions, max_connections: u32) {
    options
        .max_connections(max_connections.min(SQLITE_MAX_CONNECTIONS))
        // Writers wait for each other, not for a server.
        .acquire_timeout(BUSY_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .map_sqlx_sqlite_opts(|options| {
            options
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                // A confirmed commit survives a power failure.
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(BUSY_TIMEOUT)
                .foreign_keys(true)
        });
}

fn postgres(options: &mut ConnectOptions) {
    options.map_sqlx_postgres_opts(|options| {
        options.application_name("zpack").options([
            ("TimeZone", "UTC"),
            ("default_transaction_isolation", "read committed"),
            ("lock_timeout", "10s"),
            // A rollback outside a transaction is a warning.
            ("client_min_messages", "error"),
            // A worker that died in a transaction must not hold its locks for ever.
            ("idle_in_transaction_session_timeout", "15s"),
        ])
    });
    options.map_sqlx_postgres_pool_opts(|pool| {
        let pool = pool.before_acquire(|connection, about| Box::pin(probe(connection, about.idle_for)));
        pool.after_release(|connection, _| Box::pin(settle(connection)))
    });
}

fn mariadb(options: &mut ConnectOptions) {
    options.map_sqlx_mysql_opts(|options| {
        options.charset("utf8mb4").collation("utf8mb4_bin").timezone(Some("+00:00".to_owned()))
    });
    options.map_sqlx_mysql_pool_opts(|pool| {
        let pool = pool.before_acquire(|connection, about| Box::pin(probe(connection, about.idle_for)));
        let pool = pool.after_release(|connection, _| Box::pin(reset(connection.execute("ROLLBACK"))));
        pool.after_connect(|connection, _| {
            Box::pin(async move {
                for statement in MARIADB_SESSION {
                    connection.execute(*statement).await?;
                }
                Ok(())
            })
        })
    });
}

/// Whether a returned connection of PostgreSQL works and is in no transaction.
///
/// Every transaction is begun by [`begin`](super::begin()), which is not dropped half way, and rolled back when it is
/// dropped: this leaves answers that the connection has not read yet. They are awaited here, because the pool, which pings
/// every returned connection, does that without a limit: each connection that was in use when the network failed would be
/// missing until the kernel drops it. A connection without such answers costs no round trip here.
async fn settle(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    match connection.flush().now_or_never() {
        Some(settled) => settled?,
        None => _ = in_time(connection.execute("ROLLBACK")).await?,
    }
    Ok(!connection.is_in_transaction())
}

/// Whether a returned connection of MariaDB works and is in no transaction.
///
/// A future may be dropped while a statement is under way. sqlx 0.9.0 then returns the connection without knowing of its
/// transaction (launchbadge/sqlx issues 4385 and 4393), and the next borrower's writes would be answered and rolled back.
/// So every connection is rolled back on return; outside a transaction that changes nothing. The pool pings too, but
/// without a limit.
async fn reset<T>(rollback: impl Future<Output = Result<T, sqlx::Error>>) -> Result<bool, sqlx::Error> {
    in_time(rollback).await.map(|_| true)
}

/// Checks whether an idle connection still works, unless it was used very recently.
async fn probe(connection: &mut impl Connection, idle_for: Duration) -> Result<bool, sqlx::Error> {
    if idle_for < FRESH {
        return Ok(true);
    }
    in_time(connection.ping()).await.map(|()| true)
}

async fn in_time<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    let silent = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    tokio::time::timeout(CHECK, answer).await.map_err(silent)?
}

/// The address of the database without credentials.
fn place(address: &str) -> String {
    match url::Url::parse(address) {
        Ok(url) if url.has_host() && url.scheme() != "sqlite" => {
            format!("{}://{}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
        }
        _ => address.split(['?', '@']).next().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_no_credentials() {
        assert_eq!(place("postgres://u:secret@db:5432/zpack?sslmode=require"), "postgres://db/zpack");
        assert_eq!(place("sqlite:///var/lib/zpack.db?mode=rwc"), "sqlite:///var/lib/zpack.db");
    }
}
