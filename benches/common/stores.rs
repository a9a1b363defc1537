//! The Redis and the PostgreSQL of a run, and their statistics.
#![allow(dead_code, reason = "each benchmark uses a part")]

use std::collections::BTreeMap;

use redis::aio::MultiplexedConnection;
use sea_orm::ConnectionTrait;
use zpack::db;
use zpack::kernel::Secret;

use crate::support::postgres::PrivatePostgres;
use crate::support::redis::PrivateRedis;

/// Commands of the connection and of this program, which are not counted.
const NOT_COUNTED: &[&str] =
    &["info", "config|resetstat", "config|get", "flushall", "client", "hello", "auth", "select"];

/// A private Redis, with an append-only file that is synced every second.
pub struct Redis {
    pub port: u16,
    connection: MultiplexedConnection,
    _server: PrivateRedis,
}

/// The work of Redis since the last [`Redis::reset`].
#[derive(Clone, Debug, Default)]
pub struct RedisWork {
    /// Calls by command, including those from scripts.
    pub calls: BTreeMap<String, u64>,
    /// Seconds of processor time since Redis started.
    pub cpu: f64,
    /// Bytes of memory in use.
    pub memory: f64,
}

impl RedisWork {
    pub fn commands(&self) -> u64 {
        self.calls.values().sum()
    }
}

impl Redis {
    pub async fn start() -> Self {
        let server = PrivateRedis::start_with(&["--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0"]);
        let client = redis::Client::open(server.url()).unwrap();
        let connection = client.get_multiplexed_async_connection().await.unwrap();
        Self { port: server.port(), connection, _server: server }
    }

    /// Deletes everything.
    pub async fn flush(&self) {
        redis::cmd("FLUSHALL").exec_async(&mut self.connection.clone()).await.unwrap();
    }

    /// Resets the statistics, and returns the baseline.
    pub async fn reset(&self) -> RedisWork {
        redis::cmd("CONFIG").arg("RESETSTAT").exec_async(&mut self.connection.clone()).await.unwrap();
        self.work().await
    }

    pub async fn work(&self) -> RedisWork {
        let stats = self.info("commandstats").await;
        let calls = stats.iter().filter_map(|(name, value)| {
            let command = name.strip_prefix("cmdstat_")?;
            let counts = !NOT_COUNTED.iter().any(|not| command.starts_with(not));
            let calls = value.split(',').next()?.strip_prefix("calls=")?.parse().ok()?;
            counts.then(|| (command.to_owned(), calls))
        });
        let cpu = self.info("cpu").await;
        let memory = self.info("memory").await;
        RedisWork {
            calls: calls.collect(),
            cpu: number(&cpu, "used_cpu_sys") + number(&cpu, "used_cpu_user"),
            memory: number(&memory, "used_memory"),
        }
    }

    pub async fn version(&self) -> String {
        self.info("server").await["redis_version"].clone()
    }

    async fn info(&self, section: &str) -> BTreeMap<String, String> {
        let text: String = redis::cmd("INFO").arg(section).query_async(&mut self.connection.clone()).await.unwrap();
        text.lines()
            .filter_map(|line| line.trim().split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}

fn number(info: &BTreeMap<String, String>, name: &str) -> f64 {
    info[name].parse().unwrap()
}

/// A private PostgreSQL with the default durability: a commit waits for the disk.
pub struct Postgres(PrivatePostgres);

impl Postgres {
    pub fn start() -> Self {
        Self(PrivatePostgres::start_with(&["max_connections=200"]))
    }

    /// A new database without tables.
    pub async fn empty_database(&self, name: &str) -> String {
        let server = db::connect(&Secret::new(self.0.url("postgres")), 1).await.unwrap();
        server.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
        server.close().await.unwrap();
        self.0.url(name)
    }

    /// A new database with all tables.
    pub async fn database(&self, name: &str) -> String {
        let url = self.empty_database(name).await;
        let db = db::connect(&Secret::new(&url), 1).await.unwrap();
        db::migrate::up(&db).await.unwrap();
        db.close().await.unwrap();
        url
    }

    /// Deletes all operations.
    pub async fn clear(&self, url: &str) {
        let db = db::connect(&Secret::new(url), 1).await.unwrap();
        db.execute_unprepared("TRUNCATE operations, operation_events, operation_steps, queue_slots").await.unwrap();
        db.close().await.unwrap();
    }

    /// Its main process, the parent of its sessions.
    pub fn pid(&self) -> u32 {
        let file = self.0.socket().with_file_name("data").join("postmaster.pid");
        std::fs::read_to_string(file).unwrap().lines().next().unwrap().trim().parse().unwrap()
    }

    pub async fn version(&self) -> String {
        let db = db::connect(&Secret::new(self.0.url("postgres")), 1).await.unwrap();
        let row = db.query_one_raw(sea_orm::Statement::from_string(db.get_database_backend(), "SHOW server_version"));
        row.await.unwrap().unwrap().try_get("", "server_version").unwrap()
    }
}
