//! HTTP/1.1 as a simulated peer needs it: any status, any reason phrase, and every way a connection can go wrong.
//!
//! [`Server`] owns one listener and hands each request to its [`Handler`]. The handler runs in a task of its own, so
//! work that has begun is finished even when the client has left: that is how real peers behave.

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
