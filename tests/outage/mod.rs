//! Whole processes while a store is down, frozen or unresponsive, or Redis is full, and afterwards.
//!
//! [`scene`] starts the API and a worker behind breakable networks. The measurements come from the product itself: the
//! times in its rows, its log, and what the kernel has counted for its processes.

mod database;
mod disk;
mod garbage;
mod redis;
mod scene;
mod sentinel;
