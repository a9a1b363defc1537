//! The game proxy that players connect to (wire/edge.md section C).

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// A server as the proxy lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyEntry {
    /// The name it was registered under, as it was spelled.
    pub name: String,
    /// Where the proxy forwards to; older bridges do not tell.
    pub address: Option<SocketAddr>,
}
