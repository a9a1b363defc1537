//! The places a server is published at, and what may go wrong there.

use std::sync::Arc;
use std::time::Duration;

use crate::kernel::{Classify, Failure, text_enum};
use crate::ports::{DnsZone, GameProxy, ProxyError, ZoneError};

text_enum! {
    /// A place a server is published at.
    pub enum Target {
        /// The proxy Minecraft players connect to.
        Velocity = "velocity",
        /// The DNS server of the house.
        Technitium = "technitium",
        /// The public DNS server.
        Cloudflare = "cloudflare",
        /// The router of games without a proxy, which reads our document of routes.
        Traefik = "traefik",
        /// The gateway to the browser IDE of a dev container, which reads our records.
        Ide = "ide",
    }
}

/// The peers behind the targets; one that is not configured is `None`. The others read what we write down.
#[derive(Clone, Default)]
pub struct Targets {
    /// The game proxy.
    pub velocity: Option<Arc<dyn GameProxy>>,
    /// The DNS server of the house.
    pub technitium: Option<Arc<dyn DnsZone>>,
    /// The public DNS server.
    pub cloudflare: Option<Arc<dyn DnsZone>>,
}

impl Targets {
    /// Whether something can be published at `target`.
    pub fn has(&self, target: Target) -> bool {
        match target {
            Target::Velocity => self.velocity.is_some(),
            Target::Technitium => self.technitium.is_some(),
            Target::Cloudflare => self.cloudflare.is_some(),
            Target::Traefik | Target::Ide => true,
        }
    }

    /// The zone behind a target that is a DNS server.
    pub fn zone(&self, target: Target) -> Result<&dyn DnsZone, EdgeError> {
        let zone = match target {
            Target::Technitium => self.technitium.as_deref(),
            Target::Cloudflare => self.cloudflare.as_deref(),
            Target::Velocity | Target::Traefik | Target::Ide => None,
        };
        zone.ok_or(EdgeError::NotConfigured { target })
    }

    /// The proxy.
    pub fn proxy(&self) -> Result<&dyn GameProxy, EdgeError> {
        self.velocity.as_deref().ok_or(EdgeError::NotConfigured { target: Target::Velocity })
    }
}

/// Why a target does not have what it should have.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EdgeError {
    /// The DNS server failed.
    #[error("{target}: {source}")]
    Zone {
        /// Which one.
        target: Target,
        /// How.
        source: ZoneError,
    },
    /// The proxy failed.
    #[error("velocity: {0}")]
    Proxy(#[from] ProxyError),
    /// Something of somebody else's is in the way; it is not touched.
    #[error("{target}: {detail}")]
    Conflict {
        /// Where.
        target: Target,
        /// What, with the id of the record.
        detail: String,
    },
    /// It was changed several times and still is not as it should be.
    #[error("{target}: what was written was not there when it was read back, {rounds} times over")]
    Unsettled {
        /// Where.
        target: Target,
        /// How often it was tried.
        rounds: u32,
    },
    /// It did not come to an end in its time; what it was about to do is settled by the next look.
    #[error("{target}: not done within {} s", .patience.as_secs())]
    TooSlow {
        /// Where.
        target: Target,
        /// How long it had.
        patience: Duration,
    },
    /// The server was published there once, and the settings no longer name it.
    #[error("{target}: something is published there, but it is not configured any more")]
    NotConfigured {
        /// Where.
        target: Target,
    },
}

impl Classify for EdgeError {
    fn failure(&self) -> Failure {
        match self {
            Self::Zone { source, .. } => source.failure(),
            Self::Proxy(source) => source.failure(),
            Self::Conflict { .. } | Self::NotConfigured { .. } => Failure::NeedsOperator,
            Self::Unsettled { .. } | Self::TooSlow { .. } => Failure::Transient,
        }
    }
}
