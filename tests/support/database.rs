//! A database for one test, of each of the three kinds.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use sea_orm::{ConnectionTrait, DatabaseConnection};
use tempfile::TempDir;
use zpack::config::DatabaseKind;
use zpack::db;
use zpack::kernel::Secret;

use super::mariadb::PrivateMariaDb;
use super::postgres::PrivatePostgres;
use super::scratch;

/// A private database for one test.
pub struct TestDb {
    /// A pool of connections to it.
    pub db: DatabaseConnection,
    /// Its kind.
    pub kind: DatabaseKind,
    /// Its address, for other processes and pools.
    pub url: String,
    /// The socket of its server; `None` for a file.
    pub socket: Option<PathBuf>,
    name: String,
    _file: Option<TempDir>,
}

impl TestDb {
    /// An empty database.
    pub async fn empty(kind: DatabaseKind) -> Self {
        match kind {
            DatabaseKind::Sqlite => {
                let dir = scratch::folder("zpack-sqlite-");
                let url = format!("sqlite://{}/zpack.db", dir.path().display());
                let db = db::connect(&Secret::new(&url), 10).await.unwrap();
                Self { db, kind, url, socket: None, name: String::new(), _file: Some(dir) }
            }
            DatabaseKind::Postgres => Self::empty_on_postgres(PrivatePostgres::shared()).await,
            DatabaseKind::MariaDb => Self::empty_on_mariadb(PrivateMariaDb::shared()).await,
        }
    }

    /// An empty database on this server.
    pub async fn empty_on_postgres(server: &PrivatePostgres) -> Self {
        Self::create(DatabaseKind::Postgres, &|name| server.url(name), "postgres", server.socket()).await
    }

    /// An empty database on this server.
    pub async fn empty_on_mariadb(server: &PrivateMariaDb) -> Self {
        Self::create(DatabaseKind::MariaDb, &|name| server.url(name), "mysql", server.socket()).await
    }

    async fn create(kind: DatabaseKind, url: &(dyn Fn(&str) -> String + Sync), first: &str, socket: PathBuf) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let server = db::connect(&Secret::new(url(first)), 1).await.unwrap();
        server.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
        server.close().await.unwrap();
        let url = url(&name);
        let db = db::connect(&Secret::new(&url), 10).await.unwrap();
        Self { db, kind, url, socket: Some(socket), name, _file: None }
    }

    /// Its address through a TCP port that leads to its server.
    pub fn url_at(&self, port: u16) -> String {
        let name = &self.name;
        match self.kind {
            DatabaseKind::Sqlite => self.url.clone(),
            DatabaseKind::Postgres => format!("postgres://zpack@127.0.0.1:{port}/{name}?sslmode=disable"),
            DatabaseKind::MariaDb => format!("mysql://root@127.0.0.1:{port}/{name}?ssl-mode=disabled"),
        }
    }

    /// Frees its disk space before the run ends, for runs with very many databases.
    pub async fn remove(self) {
        self.db.close_by_ref().await.unwrap();
        let (first, force) = match self.kind {
            DatabaseKind::Sqlite => return,
            DatabaseKind::Postgres => ("postgres", " WITH (FORCE)"),
            DatabaseKind::MariaDb => ("mysql", ""),
        };
        let url = self.url.replacen(&format!("/{}?", self.name), &format!("/{first}?"), 1);
        let server = db::connect(&Secret::new(&url), 1).await.unwrap();
        server.execute_unprepared(&format!("DROP DATABASE {}{force}", self.name)).await.unwrap();
        server.close().await.unwrap();
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

/// Makes three tests of each `async fn(TestDb)`: one for each kind of database, with all tables.
macro_rules! on_every_database {
    ($($test:ident),+ $(,)?) => { $crate::support::database::three_tests!(migrated; $($test),+); };
}
pub(crate) use on_every_database;

/// The same on databases without tables.
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
