//! HTTP/1.1 for simulated peers: any status, any reason phrase, and every way in which a connection can fail.
//!
//! [`Server`] owns one listener and passes each request to its [`Handler`]. The handler runs in its own task, so work
//! that has started is finished even when the client disconnects, as real peers do.

mod client;
mod reply;
mod request;
mod server;
mod tasks;

pub use client::exchange;
pub use reply::{Delivery, Reply, ReplyBody, put};
pub use request::{SimRequest, percent_decode};
pub use server::{Handler, Server, ServerOptions};
pub use tasks::{Spawner, Tasks};
