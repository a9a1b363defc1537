//! Implementations of the ports: one folder a peer, and `http`, the only user of the HTTP client library. `kept` reads
//! the many agents on connections that cost little. `answer` cleans the text of what the peers return.

pub mod agent;
pub mod answer;
pub mod artifacts;
mod breaker;
pub mod cloudflare;
mod held_secret;
pub mod http;
mod incoming;
mod kept;
mod names;
pub mod proxmox;
pub mod slp;
mod stopwatch;
pub mod technitium;
pub mod tls;
mod token;
mod transport;
pub mod velocity;
mod zone_names;
