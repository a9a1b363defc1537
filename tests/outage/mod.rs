//! What whole processes do while a store is away, frozen or silent, or Redis is full, and after it is back.
//!
//! [`scene`] starts the API and a worker behind breakable networks. What is measured is told by the product itself: by the
//! times in its rows, by its log, and by what the kernel has counted for its processes.

mod database;
mod disk;
mod garbage;
mod redis;
mod scene;
mod sentinel;
