//! What can go wrong at a target.

use std::time::Duration;

use crate::kernel::{Classify, Failure, Target};
use crate::ports::{ProxyError, ZoneError};

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
    /// Something that is not ours is in the way; it is not changed.
    #[error("{target}: {detail}")]
    Conflict {
        /// Where.
        target: Target,
        /// What, with the id of the record.
        detail: String,
    },
    /// It was changed several times and is still not as it should be.
    #[error("{target}: what was written was missing when it was read back, after {rounds} attempts")]
    Unsettled {
        /// Where.
        target: Target,
        /// How many attempts were made.
        rounds: u32,
    },
    /// The attempt timed out; the next one finds out what it has changed.
    #[error("{target}: not done within {} s", .timeout.as_secs())]
    TooSlow {
        /// Where.
        target: Target,
        /// The timeout.
        timeout: Duration,
    },
    /// Traefik does not ask for its routes.
    #[error("traefik: {detail}")]
    NotPolled {
        /// What is known of its polls.
        detail: String,
    },
    /// The server was published there, and the settings no longer name it.
    #[error("{target}: something is published there, but it is no longer configured")]
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
            Self::Unsettled { .. } | Self::TooSlow { .. } | Self::NotPolled { .. } => Failure::Transient,
        }
    }
}
