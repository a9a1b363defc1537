//! The private servers of the tests.
#![allow(dead_code, reason = "the tests use more of it")]

#[path = "../../tests/support/guardian.rs"]
pub mod guardian;
#[path = "../../tests/support/postgres.rs"]
pub mod postgres;
#[path = "../../tests/support/redis.rs"]
pub mod redis;
#[path = "../../tests/support/scratch.rs"]
pub mod scratch;
