//! How much a database reads for a statement. The statement is run in a transaction that is rolled back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, QueryResult, Statement};
use serde_json::Value;
use zpack::config::DatabaseKind;
use zpack::db;
use zpack::kernel::Secret;

use crate::support::TestDb;

/// The most rows that a statement may read. A batch of a purge has 500.
const ROWS: u64 = 2000;
/// The instructions of SQLite between two calls of its progress handler.
const INSTRUCTIONS: u32 = 100;
/// How many instructions SQLite needs to read a row and check some conditions.
const PER_ROW: u64 = 16;

/// Measures statements on one connection.
pub struct Meter {
    kind: DatabaseKind,
    db: DatabaseConnection,
    /// The instructions that SQLite has executed.
    instructions: Arc<AtomicU64>,
}

impl Meter {
    /// A meter for the database of `test`.
    pub async fn of(test: &TestDb) -> Self {
        let db = db::connect(&Secret::new(&test.url), 1).await.unwrap();
        let instructions = Arc::new(AtomicU64::new(0));
        if test.kind == DatabaseKind::Sqlite {
            let count = instructions.clone();
            let mut connection = db.get_sqlite_connection_pool().acquire().await.unwrap();
            let mut handle = connection.lock_handle().await.unwrap();
            handle.set_progress_handler(INSTRUCTIONS.cast_signed(), move || {
                count.fetch_add(INSTRUCTIONS.into(), Ordering::Relaxed);
                true
            });
        }
        Self { kind: test.kind, db, instructions }
    }

    /// How many rows `statement` reads and its plan, if these are too many.
    pub async fn too_expensive(&self, statement: &Statement) -> Option<String> {
        let reads =
            ["SELECT", "UPDATE", "DELETE", "WITH", "(SELECT"].iter().any(|verb| statement.sql.starts_with(verb));
        if !reads {
            return None;
        }
        let tx = db::begin(&self.db).await.unwrap();
        let read = match self.kind {
            DatabaseKind::Sqlite => self.on_sqlite(&tx, statement).await,
            DatabaseKind::Postgres => on_postgres(&tx, statement).await,
            DatabaseKind::MariaDb => on_mariadb(&tx, statement).await,
        };
        tx.rollback().await.unwrap();
        let (rows, plan) = read.unwrap_or_else(|error| panic!("{statement}: {error}"));
        (rows > ROWS).then(|| format!("reads {rows} rows: {plan}"))
    }

    async fn on_sqlite(&self, tx: &DatabaseTransaction, statement: &Statement) -> Result<(u64, String), DbErr> {
        let before = self.instructions.load(Ordering::Relaxed);
        tx.query_all_raw(statement.clone()).await?;
        let rows = (self.instructions.load(Ordering::Relaxed) - before) / PER_ROW;
        let plan = tx.query_all_raw(prefixed("EXPLAIN QUERY PLAN", statement)).await?;
        let plan = plan.iter().map(|row| row.try_get::<String>("", "detail")).collect::<Result<Vec<_>, _>>()?;
        Ok((rows, plan.join("; ")))
    }
}

async fn on_postgres(tx: &DatabaseTransaction, statement: &Statement) -> Result<(u64, String), DbErr> {
    let explain = prefixed("EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF, FORMAT JSON)", statement);
    let row = tx.query_one_raw(explain).await?.unwrap();
    let plan: Value = row.try_get_by_index(0)?;
    Ok((rows_of(&plan[0]["Plan"]), plan.to_string()))
}

/// The rows that the leaves of a plan of PostgreSQL read.
fn rows_of(node: &Value) -> u64 {
    let number = |field: &str| node[field].as_f64().unwrap_or(0.0);
    let read = number("Actual Rows") + number("Rows Removed by Filter") + number("Rows Removed by Index Recheck");
    let here = if node["Node Type"].as_str().unwrap().contains("Scan") { read * number("Actual Loops") } else { 0.0 };
    let below = node["Plans"].as_array().into_iter().flatten().map(rows_of).sum::<u64>();
    here as u64 + below
}

async fn on_mariadb(tx: &DatabaseTransaction, statement: &Statement) -> Result<(u64, String), DbErr> {
    let before = handler_reads(tx).await?;
    if statement.sql.trim_start_matches('(').starts_with("SELECT") {
        tx.query_all_raw(statement.clone()).await?;
    } else {
        tx.execute_raw(statement.clone()).await?;
    }
    let rows = handler_reads(tx).await? - before;
    let plan = tx.query_one_raw(prefixed("EXPLAIN FORMAT=JSON", statement)).await?.unwrap();
    Ok((rows, plan.try_get_by_index::<String>(0)?))
}

async fn handler_reads(tx: &DatabaseTransaction) -> Result<u64, DbErr> {
    let sql = "SHOW SESSION STATUS LIKE 'Handler_read%'";
    let rows = tx.query_all_raw(Statement::from_string(tx.get_database_backend(), sql)).await?;
    let value = |row: &QueryResult| row.try_get_by_index::<String>(1).map(|value| value.parse::<u64>().unwrap());
    rows.iter().map(value).sum()
}

fn prefixed(prefix: &str, statement: &Statement) -> Statement {
    Statement { sql: format!("{prefix} {}", statement.sql), ..statement.clone() }
}
