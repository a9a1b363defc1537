//! A database for one test, on each of the three kinds.

use std::sync::atomic::{AtomicU32, Ordering};

use sea_orm::{ConnectionTrait, DatabaseConnection};
use tempfile::TempDir;
use zpack::config::DatabaseKind;
use zpack::db;
use zpack::kernel::Secret;

use super::mariadb::PrivateMariaDb;
use super::postgres::PrivatePostgres;

/// A database of its own for one test.
pub struct TestDb {
    /// A pool on it.
    pub db: DatabaseConnection,
    /// Which kind it is.
    pub kind: DatabaseKind,
    /// Its address, for other processes and pools.
    pub url: String,
    _file: Option<TempDir>,
}

impl TestDb {
    /// An empty database.
    pub async fn empty(kind: DatabaseKind) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let (url, file) = match kind {
            DatabaseKind::Sqlite => {
                let dir = tempfile::Builder::new().prefix("zpack-sqlite-").tempdir().unwrap();
                (format!("sqlite://{}/zpack.db", dir.path().display()), Some(dir))
            }
            DatabaseKind::Postgres => {
                let server = PrivatePostgres::shared();
                create(&server.url("postgres"), &name).await;
                (server.url(&name), None)
            }
            DatabaseKind::MariaDb => {
                let server = PrivateMariaDb::shared();
                create(&server.url("mysql"), &name).await;
                (server.url(&name), None)
            }
        };
        let db = db::connect(&Secret::new(&url), 10).await.unwrap();
        Self { db, kind, url, _file: file }
    }

    /// A database with all tables.
    pub async fn migrated(kind: DatabaseKind) -> Self {
        let test = Self::empty(kind).await;
        db::migrate::up(&test.db).await.unwrap();
        test
    }

    /// Another pool on the same database, as another process would have.
    pub async fn another_pool(&self) -> DatabaseConnection {
        db::connect(&Secret::new(&self.url), 10).await.unwrap()
    }
}

async fn create(server: &str, name: &str) {
    let db = db::connect(&Secret::new(server), 1).await.unwrap();
    db.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
    db.close().await.unwrap();
}

/// Makes three tests of each `async fn(TestDb)`: one a kind of database, all tables in place.
macro_rules! on_every_database {
    ($($test:ident),+ $(,)?) => { $crate::support::database::three_tests!(migrated; $($test),+); };
}
pub(crate) use on_every_database;

/// The same on databases without any table.
macro_rules! on_every_empty_database {
    ($($test:ident),+ $(,)?) => { $crate::support::database::three_tests!(empty; $($test),+); };
}
pub(crate) use on_every_empty_database;

macro_rules! three_tests {
    ($make:ident; $($test:ident),+) => {
        $(mod $test {
            use zpack::config::DatabaseKind;
            use $crate::support::TestDb;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                super::$test(TestDb::$make(DatabaseKind::Sqlite).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                super::$test(TestDb::$make(DatabaseKind::Postgres).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_mariadb() {
                super::$test(TestDb::$make(DatabaseKind::MariaDb).await).await;
            }
        })+
    };
}
pub(crate) use three_tests;
