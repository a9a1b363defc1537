//! How the pool of the process stands.

use sea_orm::sqlx::{Database, Pool};
use sea_orm::{DatabaseConnection, DbBackend};

/// Connections of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolUse {
    /// How many there may be.
    pub limit: u64,
    /// How many there are.
    pub open: u64,
    /// How many of those nobody uses.
    pub idle: u64,
}

/// How the pool stands now; asks nobody.
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
