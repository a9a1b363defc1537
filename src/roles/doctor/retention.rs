//! How much of the past the database holds, and whether its retention keeps up.

use std::time::Duration;

use sea_orm::sea_query::{Alias, Expr, ExprTrait, Order, Query};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement};

use super::check::{Check, chain};
use super::peers::connect;
use crate::config::{DatabaseConfig, RetentionConfig};
use crate::db;
use crate::kernel::Timestamp;

const NAME: &str = "retention";
/// Retention runs about once an hour. Rows that were over for longer than this should be gone.
const LAG: Duration = Duration::from_secs(2 * 24 * 3600);
const DAY: u64 = 24 * 3600;

/// A table of the past.
struct Table {
    name: &'static str,
    /// The column with the time after which its retention begins.
    at: &'static str,
    /// How long its rows are kept. `None` if rows may stay for longer, as long as something refers to them.
    kept: fn(&RetentionConfig) -> Option<Duration>,
}

const TABLES: [Table; 4] = [
    Table { name: "operations", at: "finished_at", kept: |_| None },
    Table { name: "audit_events", at: "at", kept: |kept| Some(kept.audit) },
    Table { name: "deleted_instances", at: "finished_at", kept: |kept| Some(kept.deleted_servers) },
    Table { name: "archived_records", at: "archived_at", kept: |kept| Some(kept.archive) },
];

/// What a table holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    /// Its rows, as far as the database knows without counting them.
    rows: i64,
    /// Its size with its indexes; SQLite knows only that of the file.
    bytes: Option<i64>,
    /// The age of its oldest row.
    oldest: Option<Duration>,
}

pub(super) async fn retention((database, kept): (DatabaseConfig, RetentionConfig)) -> Vec<Check> {
    // The check of the database reports it when it does not answer.
    let Ok(db) = connect(&database).await else {
        return vec![Check::warn(
            NAME,
            "not checked, because the database does not answer",
            "start the database first",
        )];
    };
    let held = match read(&db).await {
        Ok(held) => held,
        Err(error) => return vec![Check::warn(NAME, chain(&error), "apply all migrations: zpack migrate up")],
    };
    vec![judge(&held, &kept)]
}

fn judge(held: &[(&Table, Held)], kept: &RetentionConfig) -> Check {
    let detail = held.iter().map(|(table, held)| describe(table.name, *held)).collect::<Vec<_>>().join("; ");
    let late = |(table, held): &&(&Table, Held)| {
        (table.kept)(kept).zip(held.oldest).is_some_and(|(kept, oldest)| oldest > kept.saturating_add(LAG))
    };
    let late: Vec<&str> = held.iter().filter(late).map(|(table, _)| table.name).collect();
    if late.is_empty() {
        return Check::pass(NAME, detail);
    }
    let advice = format!(
        "rows of {} are past their retention: zpack serve removes them about once an hour; see its task `retention`",
        late.join(", ")
    );
    Check::warn(NAME, detail, advice)
}

fn describe(name: &str, held: Held) -> String {
    let size = held.bytes.map(|bytes| format!(", {} MiB", bytes / 1_048_576)).unwrap_or_default();
    let oldest = held.oldest.map(|age| format!(", oldest {} days", age.as_secs() / DAY)).unwrap_or_default();
    format!("{name} about {} rows{size}{oldest}", held.rows)
}

async fn read(db: &DatabaseConnection) -> Result<Vec<(&'static Table, Held)>, DbErr> {
    let now = db::now(db).await?;
    let mut held = Vec::new();
    for table in &TABLES {
        let (rows, bytes) = size(db, table.name).await?;
        let oldest = oldest(db, table).await?.map(|at| now.since(at));
        held.push((table, Held { rows, bytes, oldest }));
    }
    Ok(held)
}

/// The rows and the bytes of a table, without reading all of it; SQLite has no estimate, and counts.
async fn size(db: &DatabaseConnection, table: &str) -> Result<(i64, Option<i64>), DbErr> {
    let backend = db.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => format!(
            "SELECT CAST(GREATEST(reltuples, 0) AS BIGINT) AS held, CAST(pg_total_relation_size(oid) AS BIGINT) AS bytes \
             FROM pg_class WHERE relname = '{table}' AND relkind = 'r' AND pg_table_is_visible(oid)"
        ),
        DbBackend::MySql => format!(
            "SELECT CAST(table_rows AS SIGNED) AS held, CAST(data_length + index_length AS SIGNED) AS bytes \
             FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = '{table}'"
        ),
        _ => format!("SELECT COUNT(*) AS held, CAST(NULL AS INTEGER) AS bytes FROM {table}"),
    };
    let row = db.query_one_raw(Statement::from_string(backend, sql)).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound(format!("the table {table}")))?;
    Ok((row.try_get("", "held")?, row.try_get("", "bytes")?))
}

async fn oldest(db: &DatabaseConnection, table: &Table) -> Result<Option<Timestamp>, DbErr> {
    let mut oldest = Query::select();
    oldest.expr_as(Expr::col(table.at), "oldest").from(Alias::new(table.name));
    oldest.and_where(Expr::col(table.at).is_not_null()).order_by(table.at, Order::Asc).limit(1);
    db.query_one(&oldest).await?.map(|row| row.try_get("", "oldest")).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roles::doctor::check::Status;

    const YEAR: Duration = Duration::from_secs(365 * DAY);
    const KEPT: RetentionConfig =
        RetentionConfig { operations: YEAR, audit: YEAR, deleted_servers: YEAR, archive: YEAR };

    fn with_oldest(table: usize, age: Duration) -> Check {
        let held = TABLES
            .iter()
            .enumerate()
            .map(|(n, of)| (of, Held { rows: 7, bytes: Some(3 << 20), oldest: (n == table).then_some(age) }));
        let held: Vec<_> = held.collect();
        judge(&held, &KEPT)
    }

    #[test]
    fn rows_past_their_retention_are_a_warning() {
        for (n, table) in TABLES.iter().enumerate().skip(1) {
            assert_eq!(with_oldest(n, YEAR + LAG).status, Status::Pass);
            let late = with_oldest(n, YEAR + LAG + Duration::from_secs(1));
            assert_eq!(late.status, Status::Warn);
            assert!(late.advice.unwrap().contains(table.name));
        }
        // A server that lives keeps the operation that made it.
        assert_eq!(with_oldest(0, YEAR * 3).status, Status::Pass);
        assert!(
            with_oldest(0, YEAR).detail.starts_with("operations about 7 rows, 3 MiB, oldest 365 days; audit_events")
        );
    }
}
