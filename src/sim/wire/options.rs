//! How a listener treats its connections.

use std::time::Duration;

/// How a listener treats its connections.
#[derive(Clone, Copy, Debug)]
pub struct ServerOptions {
    /// The peer's name, for requests and the journal.
    pub peer: &'static str,
    /// Which of the peer's listeners it is; empty for a peer with one.
    pub endpoint: &'static str,
    /// The largest body that is read.
    pub max_body: usize,
    /// How long a connection may be idle, and how long a request head may take.
    pub idle: Duration,
    /// Requests after which the connection is closed.
    pub requests_per_connection: usize,
    /// Connections served at one time; further ones wait in the listener's backlog.
    pub max_connections: usize,
}

impl ServerOptions {
    /// Options for an ordinary HTTP server.
    pub const fn new(peer: &'static str) -> Self {
        Self {
            peer,
            endpoint: "",
            max_body: 1024 * 1024,
            idle: Duration::from_secs(60),
            requests_per_connection: usize::MAX,
            max_connections: 1024,
        }
    }
}
