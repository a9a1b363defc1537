//! The connection pools of the database and of Redis, the migrator and the entities (one file per table, typed columns,
//! no logic).
//!
//! Stores of the features take `&impl ConnectionTrait`; the caller opens the transaction.

pub mod archive;
mod authority;
mod clock;
mod connect;
pub mod entities;
pub mod migrate;
mod migrator;
mod pool;
mod readable;
mod reads;
mod redis;
mod store_failure;
mod transaction;

pub use self::redis::{OwnConnection, RedisLocation, RedisPool};
pub use authority::Authority;
pub use clock::{millis, now, now_expr};
pub use connect::{ConnectError, connect};
pub use migrator::Migrator;
pub use pool::{PoolUse, pool_use};
pub use readable::{ReadError, readable, readable_one, readable_rows, skipped_rows};
pub use reads::{Division, Reads};
pub use store_failure::StoreFailure;
pub use transaction::{AsDbErr, begin, failure, in_time, is_conflict, is_duplicate, retry_conflicts};
