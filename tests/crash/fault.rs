//! The faults at a point, and the servers they may affect.

use tokio::sync::{Mutex, MutexGuard};
use zpack::config::DatabaseKind;

use crate::support::TestDb;
use crate::support::mariadb::PrivateMariaDb;
use crate::support::postgres::PrivatePostgres;

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Kill,
    Stop,
    RedisKill,
    Flush,
    RedisReset,
    RedisBlackhole,
    DatabaseReset,
    DatabaseBlackhole,
    DatabaseRestart,
    Late,
}

impl Fault {
    pub const ALL: &'static [Self] = &[
        Self::Kill,
        Self::Stop,
        Self::RedisKill,
        Self::Flush,
        Self::RedisReset,
        Self::RedisBlackhole,
        Self::DatabaseReset,
        Self::DatabaseBlackhole,
        Self::DatabaseRestart,
        Self::Late,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::RedisKill => "redis-kill",
            Self::Flush => "flushall",
            Self::RedisReset => "redis-reset",
            Self::RedisBlackhole => "redis-blackhole",
            Self::DatabaseReset => "database-reset",
            Self::DatabaseBlackhole => "database-blackhole",
            Self::DatabaseRestart => "database-restart",
            Self::Late => "late",
        }
    }

    pub const fn is_of_the_database(self) -> bool {
        matches!(self, Self::DatabaseReset | Self::DatabaseBlackhole | Self::DatabaseRestart | Self::Late)
    }
}

/// A database server that may be killed: not the one that other tests share.
pub enum Server {
    Postgres(PrivatePostgres),
    MariaDb(PrivateMariaDb),
}

impl Server {
    /// The server of this run, for one cell at a time.
    pub async fn alone(kind: DatabaseKind) -> MutexGuard<'static, Option<Self>> {
        static POSTGRES: Mutex<Option<Server>> = Mutex::const_new(None);
        static MARIADB: Mutex<Option<Server>> = Mutex::const_new(None);
        let (place, start): (_, fn() -> Self) = match kind {
            DatabaseKind::Postgres => (&POSTGRES, || Self::Postgres(PrivatePostgres::start())),
            DatabaseKind::MariaDb => (&MARIADB, || Self::MariaDb(PrivateMariaDb::start())),
            DatabaseKind::Sqlite => panic!("a file has no server"),
        };
        let mut server = place.lock().await;
        if server.is_none() {
            *server = Some(tokio::task::block_in_place(start));
        }
        server
    }

    pub async fn database(&self) -> TestDb {
        let db = match self {
            Self::Postgres(server) => TestDb::empty_on_postgres(server).await,
            Self::MariaDb(server) => TestDb::empty_on_mariadb(server).await,
        };
        zpack::db::migrate::up(&db.db).await.unwrap();
        db
    }

    pub fn kill(&mut self) {
        tokio::task::block_in_place(|| match self {
            Self::Postgres(server) => server.kill(),
            Self::MariaDb(server) => server.kill(),
        });
    }

    pub fn run(&mut self) {
        tokio::task::block_in_place(|| match self {
            Self::Postgres(server) => server.run(),
            Self::MariaDb(server) => server.run(),
        });
    }

    /// Stops the process of a MariaDB, with its connections open. PostgreSQL has many processes.
    pub fn freeze(&self) {
        self.mariadb().freeze();
    }

    /// Continues the stopped process.
    pub fn thaw(&self) {
        self.mariadb().thaw();
    }

    fn mariadb(&self) -> &PrivateMariaDb {
        match self {
            Self::MariaDb(server) => server,
            Self::Postgres(_) => panic!("PostgreSQL is many processes"),
        }
    }
}
