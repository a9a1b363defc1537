//! Elections with a real Redis and all three databases: who is the leader, who is fenced, and what happens without
//! Redis.

pub mod candidate;
mod election;
mod fencing;
mod lossy;
mod silent_database;
mod without_redis;
