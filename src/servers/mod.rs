//! The row of a server and what identifies it: number, host name, public port.
//!
//! A row says what zpack wants ([`store`]); its [`payload`] holds what each feature keeps about the server. [`vmids`] and
//! [`ports`] hand out numbers that no two servers share, and [`names`] makes the host name. What is observed of a server is
//! in `observe`, what its owner sees of it in `instances`.

mod names;
pub mod payload;
mod pool;
pub mod ports;
pub mod store;
pub mod vmids;

pub use names::{Naming, hostname};
pub use pool::PoolError;
