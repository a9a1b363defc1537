//! The Server List Ping of Minecraft as servers and the proxy speak it (docs/contracts/edge.md C5): the listener and a
//! client.
//!
//! A [`StatusSource`] decides the answers: a simulated game container or the simulated Velocity. Logins are closed
//! without an answer. Not here: the ping client of zpack, which shares no code with this.

mod client;
mod codec;
mod listener;
mod status;

pub use client::ask;
pub use codec::Hello;
pub use listener::{StatusListener, StatusSource};
pub use status::{StatusAnswer, protocol_of};
