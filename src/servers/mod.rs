//! The row of a server and what identifies it: VMID, host name, public port.
//!
//! A row holds what a server shall be ([`store`]); its [`payload`] holds the state that each feature keeps about it.
//! [`vmids`] and [`ports`] allocate numbers that no two servers share, and [`names`] derives the host name.
//! Observations of a server are in `observe`, its owner's view in `instances`.

mod holds;
mod names;
pub mod payload;
mod pool;
pub mod ports;
pub mod store;
pub mod vmids;

pub use holds::holders;
pub use names::{Naming, hostname};
pub use pool::PoolError;
