//! The game proxy that players connect to (docs/contracts/edge.md C).

use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::kernel::{Classify, DnsName, Failure};

/// A server in the listing of the proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyEntry {
    /// The name it was registered under, in its spelling.
    pub name: String,
    /// The address the proxy forwards to; older bridges do not show it.
    pub address: Option<SocketAddr>,
}

impl ProxyEntry {
    /// Whether it is `name` in any spelling, or the first label of it, which earlier versions registered.
    pub fn means(&self, name: &DnsName) -> bool {
        self.canonical().is_some_and(|listed| listed == *name || listed.as_str() == name.first_label())
    }

    /// Its name in canonical spelling, if it is a name.
    pub fn canonical(&self) -> Option<DnsName> {
        self.name.parse().ok()
    }
}

/// All registrations, and the run of the proxy they belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyListing {
    /// A changed value means that the proxy was restarted and has lost every registration; older bridges do not show
    /// it.
    pub boot_id: Option<String>,
    /// How long the proxy has been running.
    pub uptime: Option<Duration>,
    /// The servers.
    pub servers: Vec<ProxyEntry>,
}

/// The result of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unregistered {
    /// It was registered and has been removed.
    Removed,
    /// It was not registered.
    WasGone,
}

/// Why a call to the proxy failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProxyError {
    /// No connection. Certainly not executed.
    #[error("{operation}: the proxy was not reached: {detail}")]
    Unreachable {
        /// The call.
        operation: String,
        /// The cause.
        detail: String,
    },
    /// The answer was lost or did not arrive in time; a change may have been made.
    #[error("{operation}: no answer from the proxy: {detail}")]
    NoAnswer {
        /// The call.
        operation: String,
        /// The cause.
        detail: String,
    },
    /// The bridge refused the secret.
    #[error("{operation}: the bridge does not accept our secret: {detail}")]
    Unauthorized {
        /// The call.
        operation: String,
        /// The message of the bridge.
        detail: String,
    },
    /// The server at the address may not be a bridge, so its answer does not count.
    #[error("{operation}: the settings of the proxy are wrong: {detail}")]
    Misconfigured {
        /// The call.
        operation: String,
        /// What it answered, and which setting to check.
        detail: String,
    },
    /// The bridge has no listing.
    #[error("{operation}: the bridge does not support it")]
    Unsupported {
        /// The call.
        operation: String,
    },
    /// After it was removed, another registration of the name came back: something else registers it too.
    #[error("{operation}: another registration of the name keeps coming back")]
    Contested {
        /// The call.
        operation: String,
    },
    /// The bridge refused or failed.
    #[error("{operation}: the bridge answered {status}: {detail}")]
    Refused {
        /// The call.
        operation: String,
        /// The HTTP status.
        status: u16,
        /// The message of the bridge, cut to a readable length.
        detail: String,
    },
    /// The listing cannot be parsed completely, so none of it counts.
    #[error("{operation}: the answer makes no sense: {detail}")]
    Protocol {
        /// The call.
        operation: String,
        /// Why it cannot be parsed.
        detail: String,
    },
}

impl Classify for ProxyError {
    fn failure(&self) -> Failure {
        match self {
            Self::Unreachable { .. } | Self::Contested { .. } => Failure::Transient,
            Self::NoAnswer { .. } | Self::Protocol { .. } => Failure::Ambiguous,
            Self::Unauthorized { .. } | Self::Misconfigured { .. } => Failure::NeedsOperator,
            Self::Refused { status: 429 | 503, .. } => Failure::Busy,
            Self::Refused { status: 500..=599, .. } => Failure::Ambiguous,
            Self::Refused { .. } | Self::Unsupported { .. } => Failure::Permanent,
        }
    }
}

/// The calls zpack makes to the proxy. Registrations are lost when the proxy restarts. A change consists of several
/// requests, so the caller must hold a lock on the name: two concurrent changes would undo each other.
#[async_trait]
pub trait GameProxy: Send + Sync {
    /// All registrations: the complete list or an error.
    async fn list(&self) -> Result<ProxyListing, ProxyError>;

    /// Registers a server under its canonical name. Repeating it is harmless. Another registration of the same name is
    /// replaced; meanwhile the name is not registered.
    async fn register(&self, name: &DnsName, address: SocketAddr) -> Result<(), ProxyError>;

    /// Removes the registration of `name`, which is the canonical name or exactly what a listing showed, and entries of
    /// the same name in other spellings, including the first label alone. If the bridge has a listing, the listing has
    /// to confirm the removal; without one, the answer counts once the server has proved to be a bridge.
    async fn unregister(&self, name: &str) -> Result<Unregistered, ProxyError>;
}

/// Checks the secret of the bridge's callbacks.
#[async_trait]
pub trait BridgeSecret: Debug + Send + Sync {
    /// Whether `sent`, the value of the header, was sent by the bridge.
    async fn proves(&self, sent: &str) -> bool;
}
