//! `zpack migrate up`, `status` and `check`.

use sea_orm::{ConnectionTrait, TransactionTrait};
use zpack::config::DatabaseKind;
use zpack::db::migrate::{self, MigrateError, MigrationState};

use crate::support::{TestDb, on_every_database, on_every_empty_database};

on_every_database!(
    a_migrated_schema_is_what_the_code_expects,
    a_second_run_finds_nothing_to_do,
    every_change_by_hand_is_found,
    missing_and_additional_indexes_are_found,
    a_newer_schema_is_left_alone,
);

async fn a_migrated_schema_is_what_the_code_expects(test: TestDb) {
    assert_eq!(migrate::check(&test.db).await.unwrap(), []);
    let status = migrate::status(&test.db).await.unwrap();
    assert!(status.iter().all(|line| matches!(line.state, MigrationState::Applied { .. })), "{status:?}");
}

async fn a_second_run_finds_nothing_to_do(test: TestDb) {
    assert_eq!(migrate::up(&test.db).await.unwrap(), Vec::<String>::new());
}

async fn every_change_by_hand_is_found(test: TestDb) {
    // One connection, because other connections of SQLite would still use the old columns.
    let session = test.db.begin().await.unwrap();
    run(&session, "DROP TABLE debts").await;
    run(&session, "CREATE TABLE visitors (id INTEGER)").await;
    run(&session, "ALTER TABLE users DROP COLUMN first_name").await;
    run(&session, "ALTER TABLE users ADD COLUMN note VARCHAR(10)").await;
    run(&session, "ALTER TABLE standings DROP COLUMN version").await;
    run(&session, "ALTER TABLE standings ADD COLUMN version VARCHAR(10)").await;
    session.commit().await.unwrap();

    let differences = migrate::check(&test.db).await.unwrap();
    let told: Vec<_> = differences.iter().map(|difference| (difference.is_harmful(), difference.to_string())).collect();
    let expected = [
        (true, "table debts is missing"),
        (true, "column standings.version is "),
        (true, "column users.first_name (text, optional) is missing"),
        (false, "column users.note is unknown"),
        (false, "table visitors is not zpack's"),
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for ((harmful, text), (expected_harmful, start)) in told.iter().zip(expected) {
        assert_eq!(*harmful, expected_harmful, "{text}");
        assert!(text.starts_with(start), "{text}");
    }
}

async fn missing_and_additional_indexes_are_found(test: TestDb) {
    let drop = |name, table| match test.kind {
        DatabaseKind::MariaDb => format!("DROP INDEX {name} ON {table}"),
        DatabaseKind::Sqlite | DatabaseKind::Postgres => format!("DROP INDEX {name}"),
    };
    // One connection, because other connections of SQLite would still see the old indexes.
    let session = test.db.begin().await.unwrap();
    run(&session, &drop("debts_vmid", "debts")).await;
    run(&session, &drop("operations_dedup_active", "operations")).await;
    // The name of an index says nothing about it.
    run(&session, "CREATE INDEX operations_dedup_active ON operations (dedup_active)").await;
    run(&session, "CREATE UNIQUE INDEX mine ON audit_events (actor)").await;
    session.commit().await.unwrap();
    let differences = migrate::check(&test.db).await.unwrap();
    let texts: Vec<_> = differences.iter().map(|one| (one.is_harmful(), one.to_string())).collect();
    let expected = [
        (true, "index on debts (vmid) is missing; it was dropped manually"),
        (true, "unique index on operations (dedup_active) is missing; it was dropped manually"),
        (true, "unique index on audit_events (actor) is not zpack's; it may refuse new rows"),
        (false, "index on operations (dedup_active) is not zpack's; it is harmless"),
    ];
    assert_eq!(texts, expected.map(|(harmful, text)| (harmful, text.to_owned())));
}

async fn a_newer_schema_is_left_alone(test: TestDb) {
    run(&test.db, "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_future', 1)").await;
    let error = migrate::up(&test.db).await.unwrap_err();
    assert!(matches!(&error, MigrateError::Newer { names } if names == &["m9999_future"]), "{error}");
    let status = migrate::status(&test.db).await.unwrap();
    assert_eq!(status.last().unwrap().state, MigrationState::Unknown);
}

on_every_empty_database!(processes_that_migrate_at_once_take_turns, an_empty_database_is_looked_at_without_a_trace);

async fn processes_that_migrate_at_once_take_turns(test: TestDb) {
    let mut runs = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let db = test.another_pool().await;
        runs.spawn(async move { migrate::up(&db).await.unwrap().len() });
    }
    let mut applied = runs.join_all().await;
    applied.sort_unstable();
    assert_eq!(applied[..3], [0, 0, 0]);
    assert!(applied[3] > 0);
    assert_eq!(migrate::check(&test.db).await.unwrap(), []);
}

async fn an_empty_database_is_looked_at_without_a_trace(test: TestDb) {
    let status = migrate::status(&test.db).await.unwrap();
    assert!(!status.is_empty() && status.iter().all(|line| line.state == MigrationState::Pending), "{status:?}");
    let differences = migrate::check(&test.db).await.unwrap();
    assert!(differences.iter().all(migrate::Difference::is_harmful), "{differences:?}");
    assert!(test.db.execute_unprepared("SELECT version FROM seaql_migrations").await.is_err());
}

/// MariaDB commits every schema change at once, so a crash leaves a migration incomplete.
#[tokio::test]
async fn mariadb_resumes_an_interrupted_migration() {
    let test = TestDb::migrated(DatabaseKind::MariaDb).await;
    // Later migrations were not run either.
    run(&test.db, "DELETE FROM seaql_migrations WHERE version >= 'm0002'").await;
    run(&test.db, "DROP INDEX operations_dedup_active ON operations").await;
    run(&test.db, "DROP TABLE debts").await;
    let run_again = migrate::up(&test.db).await.unwrap();
    assert_eq!(run_again.first().map(String::as_str), Some("m0002_operations"), "{run_again:?}");
    assert_eq!(migrate::check(&test.db).await.unwrap(), []);
    run(&test.db, "DROP INDEX operations_dedup_active ON operations").await;
}

async fn run(db: &impl ConnectionTrait, sql: &str) {
    db.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

#[tokio::test]
async fn a_role_refuses_a_schema_that_is_behind_but_not_one_that_is_ahead() {
    let test = TestDb::empty(DatabaseKind::Sqlite).await;
    let error = migrate::require_current(&test.db).await.unwrap_err();
    assert!(matches!(error, MigrateError::Pending { .. }), "{error}");
    migrate::up(&test.db).await.unwrap();
    run(&test.db, "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_future', 1)").await;
    migrate::require_current(&test.db).await.unwrap();
}
