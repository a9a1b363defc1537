//! Fills a database with a past, inside the database.

use sea_orm::ConnectionTrait;
use zpack::config::DatabaseKind;
use zpack::kernel::{Clock, UserId};

use crate::support::TestDb;

/// Columns with a value for each past operation `n`, from 0.
type Columns<'a> = &'a [(&'a str, &'a str)];

const OPERATIONS: Columns = &[
    ("id", "'op_00000000000000000000000000' || (100000 + n)"),
    ("kind", "CASE n % 3 WHEN 0 THEN 'provision' WHEN 1 THEN 'power' ELSE 'teardown' END"),
    ("queue", "CASE n % 3 WHEN 0 THEN 'provision' ELSE 'host' END"),
    ("schema_version", "1"),
    ("payload", "'{}'"),
    ("begun_by", "'customer'"),
    ("cancel_rule", "'anytime'"),
    (
        "state",
        "CASE WHEN n % 100 < 90 THEN 'succeeded' WHEN n % 100 < 95 THEN 'failed' WHEN n % 100 < 96 THEN 'stale' ELSE 'cancelled' END",
    ),
    ("unwind", "CASE WHEN n % 100 BETWEEN 90 AND 95 THEN 'done' ELSE 'none' END"),
    ("cleanup", "CASE WHEN n % 100 BETWEEN 90 AND 95 THEN 'done' ELSE 'none' END"),
    ("run_after", "{at}"),
    ("fence", "1"),
    ("starts", "1"),
    ("crashes", "0"),
    ("max_starts", "1"),
    ("offered_at", "{at}"),
    ("offer_count", "1"),
    ("cancel_requested", "FALSE"),
    ("dedup_key", "'key-' || n"),
    ("user_id", "CASE n % 4 WHEN 0 THEN '{owner}' ELSE 'usr_00000000000000000000000000' || (100000 + n % 500) END"),
    ("vmid", "5000 + n % 1000"),
    ("step_count", "1"),
    ("heartbeat_at", "{at}"),
    ("created_at", "{at}"),
    ("started_at", "{at}"),
    ("finished_at", "{at}"),
    ("event_seq", "1"),
];

const STEPS: Columns = &[
    ("operation_id", "'op_00000000000000000000000000' || (100000 + n)"),
    ("seq", "0"),
    ("name", "'clone_container'"),
    ("status", "'done'"),
    ("outside", "TRUE"),
    ("fence", "1"),
    ("started_at", "{at}"),
    ("finished_at", "{at}"),
];

const EVENTS: Columns = &[
    ("operation_id", "'op_00000000000000000000000000' || (100000 + n)"),
    ("seq", "1"),
    ("kind", "'queued'"),
    ("data", "'{}'"),
    ("at", "{at}"),
];

const DEBTS: Columns = &[
    ("id", "'dbt_00000000000000000000000000' || (100000 + n)"),
    ("operation_id", "'op_00000000000000000000000000' || (100000 + n)"),
    ("kind", "'container'"),
    ("vmid", "5000 + n % 1000"),
    ("detail", "''"),
    ("state", "'settled'"),
    ("attempts", "1"),
    ("created_at", "{at}"),
    ("updated_at", "{at}"),
];

const DELETED: Columns = &[
    ("id", "'ins_00000000000000000000000000' || (100000 + n)"),
    ("vmid", "5000 + n % 1000"),
    ("hostname", "'mc-paper-' || (5000 + n % 1000)"),
    ("user_id", "'usr_00000000000000000000000000' || (100000 + n % 500)"),
    ("operation_id", "'op_00000000000000000000000000' || (100000 + n)"),
    ("teardown_id", "'op_00000000000000000000000000' || (100000 + n)"),
    ("deleted_by", "'internal'"),
    ("snapshot", "'{}'"),
    ("archived_at", "{at}"),
    ("finished_at", "{at}"),
];

const AUDIT: Columns = &[
    ("id", "'aud_00000000000000000000000000' || (100000 + n)"),
    ("actor", "'internal'"),
    ("action", "'server.delete'"),
    ("subject", "'server:' || n"),
    ("outcome", "'done'"),
    ("at", "{at}"),
];

const KEYS: Columns = &[
    ("id", "'key-' || n"),
    ("body_hash", "'hash'"),
    ("status", "202"),
    ("response", "'{}'"),
    ("created_at", "{at}"),
    ("expires_at", "{at} + 100000000000"),
];

const EPISODES: Columns = &[
    ("id", "'episode-' || n"),
    ("kind", "'power'"),
    ("subject", "'server'"),
    ("name", "'episode-' || n"),
    ("operation_id", "'op_00000000000000000000000000' || (100000 + n)"),
    ("begun_at", "{at}"),
];

const TOKENS: Columns = &[
    ("token_id", "'tok_00000000000000000000000000' || (100000 + n)"),
    ("user_id", "'usr_00000000000000000000000000' || (100000 + n % 500)"),
    ("expires_at", "{at} + 100000000000"),
];

const ARCHIVED: Columns =
    &[("origin", "'operation'"), ("id", "'archived-' || n"), ("body", "'{}'"), ("at", "{at}"), ("archived_at", "{at}")];

const TABLES: &[(&str, Columns)] = &[
    ("operations", OPERATIONS),
    ("operation_steps", STEPS),
    ("operation_events", EVENTS),
    ("debts", DEBTS),
    ("deleted_instances", DELETED),
    ("audit_events", AUDIT),
    ("idempotency_keys", KEYS),
    ("episodes", EPISODES),
    ("revoked_tokens", TOKENS),
    ("archived_records", ARCHIVED),
];

/// Writes `count` past operations, one every three minutes, a quarter of them of `owner`, and what each left behind; at
/// most 100 000.
pub async fn past(test: &TestDb, count: i64, owner: UserId) {
    run(test, "CREATE TABLE numbers (n INTEGER PRIMARY KEY)").await;
    let thousand = (0..1000).map(|n| format!("({n})")).collect::<Vec<_>>().join(", ");
    run(test, &format!("INSERT INTO numbers VALUES {thousand}")).await;
    let (now, owner) = (Clock::System.now().millis(), owner.to_string());
    let big = if test.kind == DatabaseKind::MariaDb { "SIGNED" } else { "BIGINT" };
    let at = format!("CAST({now} - ({count} - n) * 180000 AS {big})");
    let numbers = format!(
        "SELECT CAST(thousands.n AS {big}) * 1000 + ones.n AS n FROM numbers AS thousands, numbers AS ones \
         WHERE thousands.n < {}",
        count / 1000
    );
    for (table, columns) in TABLES {
        let names = columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let values = columns.iter().map(|(_, value)| value.replace("{at}", &at).replace("{owner}", &owner));
        let values = values.collect::<Vec<_>>().join(", ");
        run(test, &format!("INSERT INTO {table} ({names}) SELECT {values} FROM ({numbers}) AS past")).await;
        // Nothing analyses a database of SQLite.
        match test.kind {
            DatabaseKind::MariaDb => run(test, &format!("ANALYZE TABLE {table}")).await,
            DatabaseKind::Postgres => run(test, &format!("ANALYZE {table}")).await,
            DatabaseKind::Sqlite => {}
        }
    }
    run(test, "DROP TABLE numbers").await;
}

async fn run(test: &TestDb, sql: &str) {
    test.db.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}
