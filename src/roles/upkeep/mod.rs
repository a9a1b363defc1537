//! Background tasks of `zpack serve`: gauges that are read from the stores, and the removal of expired rows. Any number
//! of processes may run them at the same time.

mod gauges;
mod retention;

pub(super) use gauges::{DatabaseGauges, RedisGauges};
pub use gauges::{read_database, read_redis};
pub(super) use retention::Retention;
pub use retention::{Purged, purge};
