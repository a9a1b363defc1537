//! The ports spoken over the wire: one folder a peer, and `http`, the only user of the HTTP client library.

pub mod agent;
pub mod artifacts;
pub mod cloudflare;
pub mod http;
pub mod proxmox;
pub mod slp;
mod stopwatch;
pub mod technitium;
pub mod tls;
mod token;
mod token_gate;
pub mod velocity;
mod zone_names;
