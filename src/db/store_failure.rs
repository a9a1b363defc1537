//! The meaning of a database error for the caller, derived from the errors of the three drivers.

use sea_orm::sqlx;
use sea_orm::sqlx::error::DatabaseError;
use sea_orm::sqlx::mysql::MySqlDatabaseError;
use sea_orm::sqlx::postgres::PgDatabaseError;
use sea_orm::{DbErr, RuntimeErr};

use crate::kernel::Failure;

/// The meaning of a database error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFailure {
    /// The database is unavailable, or refuses connections at present.
    Away,
    /// Concurrent work conflicted; a retry may succeed.
    Busy,
    /// Its disk is full; nothing was written.
    Full,
    /// It refused the work.
    Refused,
}

impl StoreFailure {
    /// The meaning of `error`.
    pub fn of(error: &DbErr) -> Self {
        match error {
            DbErr::ConnectionAcquire(_) => Self::Away,
            DbErr::Conn(cause) | DbErr::Exec(cause) | DbErr::Query(cause) => match cause {
                RuntimeErr::SqlxError(source) => of_driver(source),
                RuntimeErr::Internal(_) if matches!(error, DbErr::Conn(_)) => Self::Away,
                RuntimeErr::Internal(_) => Self::Refused,
            },
            _ => Self::Refused,
        }
    }

    /// Whether a retry can help.
    pub const fn class(self) -> Failure {
        match self {
            Self::Away | Self::Busy | Self::Full => Failure::Transient,
            Self::Refused => Failure::Permanent,
        }
    }
}

fn of_driver(error: &sqlx::Error) -> StoreFailure {
    match error {
        sqlx::Error::Database(answer) => of_answer(answer.as_ref()),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => StoreFailure::Away,
        _ => StoreFailure::Refused,
    }
}

fn of_answer(answer: &dyn DatabaseError) -> StoreFailure {
    if let Some(error) = answer.try_downcast_ref::<PgDatabaseError>() {
        of_postgres(error.code())
    } else if let Some(error) = answer.try_downcast_ref::<MySqlDatabaseError>() {
        of_mariadb(error.number())
    } else {
        of_sqlite(answer.code().and_then(|code| code.parse().ok()).unwrap_or(0))
    }
}

/// By SQLSTATE: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn of_postgres(state: &str) -> StoreFailure {
    match state {
        // Serialization failure, deadlock, lock timeout.
        "40001" | "40P01" | "55P03" => StoreFailure::Busy,
        "53100" => StoreFailure::Full,
        // Too many connections, shutting down, crashed, starting, and a primary that became a replica.
        "53300" | "57P01" | "57P02" | "57P03" | "25006" => StoreFailure::Away,
        other if other.starts_with("08") => StoreFailure::Away,
        _ => StoreFailure::Refused,
    }
}

/// By number: <https://mariadb.com/kb/en/mariadb-error-code-reference/>.
fn of_mariadb(number: u16) -> StoreFailure {
    match number {
        // Lock wait timeout, deadlock.
        1205 | 1213 => StoreFailure::Busy,
        // Disk full, table full.
        1021 | 1114 => StoreFailure::Full,
        // Too many connections, shutting down, read-only, killed.
        1040 | 1053 | 1290 | 1317 | 1836 | 1927 => StoreFailure::Away,
        _ => StoreFailure::Refused,
    }
}

/// By extended result code: <https://sqlite.org/rescode.html>.
const fn of_sqlite(code: u32) -> StoreFailure {
    match (code & 0xff, code) {
        (5 | 6, _) => StoreFailure::Busy,
        // The index of the write-ahead log could not grow (SQLITE_IOERR_SHMSIZE): a full disk too.
        (13, _) | (_, 4874) => StoreFailure::Full,
        _ => StoreFailure::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_database_says_it_in_its_own_way() {
        for (of, expected) in [
            (of_postgres("53100"), StoreFailure::Full),
            (of_mariadb(1114), StoreFailure::Full),
            (of_sqlite(13), StoreFailure::Full),
            (of_sqlite(4874), StoreFailure::Full),
            (of_postgres("40P01"), StoreFailure::Busy),
            (of_mariadb(1213), StoreFailure::Busy),
            (of_sqlite(517), StoreFailure::Busy),
            (of_postgres("57P01"), StoreFailure::Away),
            (of_postgres("08006"), StoreFailure::Away),
            (of_mariadb(1053), StoreFailure::Away),
            (of_postgres("23505"), StoreFailure::Refused),
            (of_mariadb(1062), StoreFailure::Refused),
            (of_sqlite(2067), StoreFailure::Refused),
        ] {
            assert_eq!(of, expected);
        }
    }

    #[test]
    fn what_did_not_answer_is_away() {
        let timed_out = DbErr::Conn(RuntimeErr::Internal("no answer in time".to_owned()));
        assert_eq!(StoreFailure::of(&timed_out), StoreFailure::Away);
        let missing = DbErr::RecordNotFound("row".to_owned());
        assert_eq!(StoreFailure::of(&missing), StoreFailure::Refused);
    }
}
