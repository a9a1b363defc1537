//! HTTP/1.1 for simulated peers: any status, any reason phrase, and every way in which a connection can fail.
//!
//! [`Server`] owns one listener and passes each request to its [`Handler`]. The handler runs in its own task, so work
//! that has started is finished even when the client disconnects, as real peers do.

mod client;
mod options;
mod reply;
mod request;
mod server;
mod tasks;
mod tls;

pub use client::exchange;
pub use options::ServerOptions;
pub use reply::{Delivery, Reply, ReplyBody, put};
pub use request::{SimRequest, percent_decode};
pub use server::{Handler, Server};
pub use tasks::{Spawner, Tasks};
pub use tls::Identity;
