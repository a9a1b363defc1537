//! Asks a Minecraft server for its status, as its players' clients do (docs/contracts/edge.md C5).

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;

/// Who is asked, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PingTarget {
    /// Where the connection goes.
    pub address: SocketAddr,
    /// The name that is presented, by which a proxy chooses the server.
    pub host: String,
}

/// What a server says of itself. Everything but the time may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PingReport {
    /// From the first byte sent to the whole answer.
    pub latency: Duration,
    /// The name of its version.
    pub version: Option<String>,
    /// The number of its protocol.
    pub protocol: Option<i64>,
    /// How many players are there.
    pub online: Option<u32>,
    /// How many may be.
    pub max: Option<u32>,
    /// Its greeting, without formatting.
    pub description: Option<String>,
    /// Whether it only understood the ping of versions before 1.7.
    pub legacy: bool,
}

impl PingReport {
    /// Whether the proxy answered in place of the server, which proves nothing about the server.
    pub fn is_from_proxy(&self) -> bool {
        self.version.as_deref().is_some_and(|version| version.starts_with("Velocity "))
    }
}

/// What a ping found. Not a `Result`: a server that does not answer is what is looked for, not a failure to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ping {
    /// It answered.
    Answered(PingReport),
    /// It takes connections and says nothing, as with `enable-status=false`.
    Silent,
    /// No connection was made.
    Unreachable {
        /// The cause.
        detail: String,
    },
    /// It takes connections, and closes them or answers something else.
    Unusable {
        /// The cause.
        detail: String,
    },
}

/// Asks servers for their status.
#[async_trait]
pub trait StatusPing: Send + Sync {
    /// Asks one server, within a bounded time.
    async fn ping(&self, target: &PingTarget) -> Ping;
}
