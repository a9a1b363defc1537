//! Storage on SQLite, PostgreSQL and MariaDB.

mod agent_pace;
mod agent_poll;
mod archive;
mod begin;
pub mod dropped;
mod entities;
mod episodes;
mod fences;
mod history;
mod idempotency;
pub mod lease;
mod lifecycle;
mod live_parts;
mod migrate;
mod new_debts;
mod newer_release;
mod payload;
mod proxy_watch;
mod queues;
mod rate_limit;
mod reads;
mod redis;
mod retention;
pub mod servers;
mod sessions;
mod slots;
mod transactions;
