//! The private servers that the tests use.
#![allow(dead_code, reason = "only the tests use all of it")]

#[path = "../../tests/support/guardian.rs"]
pub mod guardian;
#[path = "../../tests/support/postgres.rs"]
pub mod postgres;
#[path = "../../tests/support/redis.rs"]
pub mod redis;
#[path = "../../tests/support/scratch.rs"]
pub mod scratch;
