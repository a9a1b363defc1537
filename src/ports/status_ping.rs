//! Pings a Minecraft server for its status, as game clients do (docs/contracts/edge.md C5).

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;

/// Where to send a ping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PingTarget {
    /// The address to connect to.
    pub address: SocketAddr,
    /// The host name in the handshake, by which a proxy chooses the server.
    pub host: String,
}

/// The status of a server. Everything but the latency may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PingReport {
    /// From the first byte sent to the complete answer.
    pub latency: Duration,
    /// The name of its version.
    pub version: Option<String>,
    /// The number of its protocol version.
    pub protocol: Option<i64>,
    /// The number of players online.
    pub online: Option<u32>,
    /// The maximum number of players.
    pub max: Option<u32>,
    /// Its description, without formatting.
    pub description: Option<String>,
    /// Whether it answered only the legacy ping of versions before 1.7.
    pub legacy: bool,
}

impl PingReport {
    /// Whether the proxy answered instead of the server, which proves nothing about the server.
    pub fn is_from_proxy(&self) -> bool {
        self.version.as_deref().is_some_and(|version| version.starts_with("Velocity "))
    }
}

/// The result of a ping. Not a `Result`: a server that does not answer is a valid observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ping {
    /// It answered.
    Answered(PingReport),
    /// It accepts connections and sends nothing, as with `enable-status=false`.
    Silent,
    /// No connection was made.
    Unreachable {
        /// The cause.
        detail: String,
    },
    /// It accepts connections, but closes them or sends something else.
    Unusable {
        /// The cause.
        detail: String,
    },
}

/// Pings servers for their status.
#[async_trait]
pub trait StatusPing: Send + Sync {
    /// Pings one server, within a bounded time.
    async fn ping(&self, target: &PingTarget) -> Ping;
}
