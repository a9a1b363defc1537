//! Storage on SQLite, PostgreSQL and MariaDB alike.

mod entities;
mod idempotency;
mod migrate;
mod rate_limit;
mod redis;
pub mod servers;
mod sessions;
mod transactions;
