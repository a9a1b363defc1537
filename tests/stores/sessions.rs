//! What `db::connect` guarantees about a session, whatever the server's defaults.

use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use zpack::config::DatabaseKind;

use crate::support::TestDb;

async fn ask(db: &DatabaseConnection, sql: &str) -> String {
    let statement = Statement::from_string(db.get_database_backend(), sql);
    db.query_one_raw(statement).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

#[tokio::test]
async fn sqlite_waits_for_its_writer_and_survives_a_power_failure() {
    let db = TestDb::empty(DatabaseKind::Sqlite).await;
    assert_eq!(ask(&db.db, "SELECT journal_mode FROM pragma_journal_mode").await, "wal");
    assert_eq!(ask(&db.db, "SELECT CAST(timeout AS TEXT) FROM pragma_busy_timeout").await, "10000");
    assert_eq!(ask(&db.db, "SELECT CAST(foreign_keys AS TEXT) FROM pragma_foreign_keys").await, "1");
    assert_eq!(ask(&db.db, "SELECT CAST(synchronous AS TEXT) FROM pragma_synchronous").await, "2", "full");
}

#[tokio::test]
async fn postgres_sessions_are_read_committed_and_in_utc() {
    let db = TestDb::empty(DatabaseKind::Postgres).await;
    assert_eq!(ask(&db.db, "SELECT current_setting('default_transaction_isolation')").await, "read committed");
    assert_eq!(ask(&db.db, "SELECT current_setting('TimeZone')").await, "UTC");
    assert_eq!(ask(&db.db, "SELECT current_setting('application_name')").await, "zpack");
}

#[tokio::test]
async fn mariadb_sessions_are_strict_read_committed_and_in_utc() {
    let db = TestDb::empty(DatabaseKind::MariaDb).await;
    assert_eq!(ask(&db.db, "SELECT @@tx_isolation").await, "READ-COMMITTED");
    assert_eq!(ask(&db.db, "SELECT @@time_zone").await, "+00:00");
    assert!(ask(&db.db, "SELECT @@sql_mode").await.contains("STRICT_ALL_TABLES"));
}

/// The first connections of several processes all switch the new file to its write-ahead log.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_processes_open_a_new_sqlite_concurrently() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let url = zpack::kernel::Secret::new(format!("sqlite://{}/zpack.db", folder.path().display()));
        let opening = (0..16).map(|_| {
            let url = url.clone();
            tokio::spawn(async move { zpack::db::connect(&url, 4).await.map(drop) })
        });
        for opened in futures_util::future::join_all(opening).await {
            opened.unwrap().unwrap();
        }
    }
}
