//! What `zpack serve` does besides answering: it reads the stores into gauges and removes rows whose time is over. Any
//! number of processes may do so at once.

mod gauges;
mod retention;

pub(super) use gauges::{DatabaseGauges, RedisGauges};
pub use gauges::{read_database, read_redis};
pub(super) use retention::Retention;
pub use retention::{Purged, purge};
