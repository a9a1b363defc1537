//! Migrates the schema, reports its state, and compares it with the entities.

mod check;
mod indexes;
mod live;

use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, FromQueryResult, Statement};
use sea_orm_migration::MigratorTrait;

use super::{Migrator, begin};
use crate::kernel::{Classify, Failure, Timestamp};

pub use check::{ColumnShape, Difference, check};
pub use indexes::IndexShape;

/// How long one process waits for another that is migrating.
const LOCK_SECONDS: u32 = 60;
/// Names the lock on PostgreSQL: "zpack" in ASCII.
const LOCK_NUMBER: i64 = 0x007a_7061_636b;
/// Where applied migrations are recorded.
const RECORD: &str = "seaql_migrations";

/// Why the schema could not be migrated or read.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database was migrated by a newer zpack.
    #[error("the database has migrations this version of zpack does not know: {}", names.join(", "))]
    Newer {
        /// Their names.
        names: Vec<String>,
    },
    /// Migrations of this zpack were not run yet.
    #[error("the schema is not up to date, these migrations were not run: {}", names.join(", "))]
    Pending {
        /// Their names.
        names: Vec<String>,
    },
    /// Another process has been migrating for too long.
    #[error("another process has been migrating this database for {LOCK_SECONDS} seconds")]
    Locked,
    /// The database failed.
    #[error("cannot {doing}")]
    Database {
        /// The action that failed.
        doing: &'static str,
        /// The error of the database.
        source: DbErr,
    },
}

impl Classify for MigrateError {
    fn failure(&self) -> Failure {
        match self {
            Self::Newer { .. } | Self::Pending { .. } => Failure::NeedsOperator,
            Self::Locked => Failure::Busy,
            Self::Database { source, .. } => super::failure(source),
        }
    }
}

/// Adds the action that failed to an error of the database.
fn while_doing(doing: &'static str) -> impl FnOnce(DbErr) -> MigrateError {
    move |source| MigrateError::Database { doing, source }
}

/// The state of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationState {
    /// It was run.
    Applied {
        /// When.
        at: Timestamp,
    },
    /// `zpack migrate up` will run it.
    Pending,
    /// A newer zpack ran it.
    Unknown,
}

/// One migration and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: MigrationState,
}

/// Runs the pending migrations and returns their names. Concurrent processes wait for each other; all but the first
/// find nothing to do.
pub async fn up(db: &DatabaseConnection) -> Result<Vec<String>, MigrateError> {
    let transaction = begin(db).await.map_err(while_doing("begin a transaction"))?;
    lock(&transaction).await?;
    let before = status(&transaction).await?;
    let newer: Vec<_> = before.iter().filter(|line| line.state == MigrationState::Unknown).collect();
    if !newer.is_empty() {
        return Err(MigrateError::Newer { names: newer.into_iter().map(|line| line.name.clone()).collect() });
    }
    Migrator::up(&transaction, None).await.map_err(while_doing("run the migrations"))?;
    unlock(&transaction).await?;
    transaction.commit().await.map_err(while_doing("commit the migrations"))?;
    Ok(before.into_iter().filter(|line| line.state == MigrationState::Pending).map(|line| line.name).collect())
}

/// Refuses a schema with pending migrations. Accepts a newer schema: old code runs on it during a deployment.
pub async fn require_current(db: &impl ConnectionTrait) -> Result<(), MigrateError> {
    let status = status(db).await?.into_iter();
    let names: Vec<_> = status.filter(|line| line.state == MigrationState::Pending).map(|line| line.name).collect();
    if names.is_empty() { Ok(()) } else { Err(MigrateError::Pending { names }) }
}

/// Every migration with its state, in order. Changes nothing.
pub async fn status(db: &impl ConnectionTrait) -> Result<Vec<MigrationStatus>, MigrateError> {
    let applied = applied(db).await.map_err(while_doing("read which migrations were run"))?;
    let known: Vec<_> = Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect();
    let unknown = applied.iter().filter(|row| !known.contains(&row.version));
    let unknown: Vec<_> =
        unknown.map(|row| MigrationStatus { name: row.version.clone(), state: MigrationState::Unknown }).collect();
    let known = known.into_iter().map(|name| {
        let row = applied.iter().find(|row| row.version == name);
        let at = row.map(|row| Timestamp::from_millis(row.applied_at.saturating_mul(1000)));
        MigrationStatus { name, state: at.map_or(MigrationState::Pending, |at| MigrationState::Applied { at }) }
    });
    Ok(known.chain(unknown).collect())
}

#[derive(FromQueryResult)]
struct Applied {
    version: String,
    applied_at: i64,
}

async fn applied<C: ConnectionTrait>(db: &C) -> Result<Vec<Applied>, DbErr> {
    if !live::has_table(db, RECORD).await? {
        return Ok(Vec::new());
    }
    let query = format!("SELECT version, applied_at FROM {RECORD} ORDER BY version");
    Applied::find_by_statement(Statement::from_string(db.get_database_backend(), query)).all(db).await
}

/// Takes the migration lock. SQLite needs none: the transaction is the only writer.
async fn lock(transaction: &DatabaseTransaction) -> Result<(), MigrateError> {
    let doing = "take the migration lock";
    match transaction.get_database_backend() {
        DbBackend::Postgres => {
            let wait = format!("SET LOCAL lock_timeout = '{LOCK_SECONDS}s'");
            transaction.execute_unprepared(&wait).await.map_err(while_doing(doing))?;
            // Held until the transaction ends.
            let take = format!("SELECT pg_advisory_xact_lock({LOCK_NUMBER})");
            match transaction.execute_unprepared(&take).await {
                Ok(_) => Ok(()),
                Err(error) if live::is_lock_timeout(&error) => Err(MigrateError::Locked),
                Err(source) => Err(MigrateError::Database { doing, source }),
            }
        }
        DbBackend::MySql => {
            // Its schema changes commit implicitly, so the lock belongs to the session that the transaction uses.
            let take = format!("SELECT GET_LOCK({MARIADB_LOCK}, {LOCK_SECONDS}) = 1 AS taken");
            let statement = Statement::from_string(DbBackend::MySql, take);
            let row = transaction.query_one_raw(statement).await.map_err(while_doing(doing))?;
            let taken = row.map(|row| row.try_get::<Option<i32>>("", "taken")).transpose();
            match taken.map_err(while_doing(doing))?.flatten() {
                Some(1) => Ok(()),
                _ => Err(MigrateError::Locked),
            }
        }
        _ => Ok(()),
    }
}

/// Locks of MariaDB are global to the server, so the name includes the database.
const MARIADB_LOCK: &str = "CONCAT('zpack-migrate.', MD5(DATABASE()))";

async fn unlock(transaction: &DatabaseTransaction) -> Result<(), MigrateError> {
    if transaction.get_database_backend() == DbBackend::MySql {
        let release = format!("DO RELEASE_LOCK({MARIADB_LOCK})");
        transaction.execute_unprepared(&release).await.map_err(while_doing("release the migration lock"))?;
    }
    Ok(())
}
