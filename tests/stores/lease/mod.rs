//! Elections on a real Redis and all three databases: who leads, who is fenced, and what happens without Redis.

pub mod candidate;
mod election;
mod fencing;
mod lossy;
mod silent_database;
mod without_redis;
