//! The use of the connection pool.

use sea_orm::sqlx::{Database, Pool};
use sea_orm::{DatabaseConnection, DbBackend};

/// The connections of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolUse {
    /// The maximum number.
    pub limit: u64,
    /// The number of open connections.
    pub open: u64,
    /// The number of idle ones among them.
    pub idle: u64,
}

/// The current use of the pool; does not query the database.
pub fn pool_use(db: &DatabaseConnection) -> PoolUse {
    match db.get_database_backend() {
        DbBackend::Postgres => of(db.get_postgres_connection_pool()),
        DbBackend::MySql => of(db.get_mysql_connection_pool()),
        _ => of(db.get_sqlite_connection_pool()),
    }
}

fn of<D: Database>(pool: &Pool<D>) -> PoolUse {
    PoolUse {
        limit: u64::from(pool.options().get_max_connections()),
        open: u64::from(pool.size()),
        idle: pool.num_idle() as u64,
    }
}
