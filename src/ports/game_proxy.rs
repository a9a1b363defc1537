//! The game proxy that players connect to (docs/contracts/edge.md C).

use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::kernel::{Classify, DnsName, Failure};

/// A server as the proxy lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyEntry {
    /// The name it was registered under, as it was spelled.
    pub name: String,
    /// Where the proxy forwards to; older bridges do not tell.
    pub address: Option<SocketAddr>,
}

impl ProxyEntry {
    /// Whether it is `name` in any spelling, or the first label of it, under which servers were registered once.
    pub fn means(&self, name: &DnsName) -> bool {
        let listed = self.name.parse::<DnsName>();
        listed.is_ok_and(|listed| listed == *name || listed.as_str() == name.first_label())
    }
}

/// Everything that is registered, and which run of the proxy says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyListing {
    /// Another value means that the proxy was restarted and has lost every registration; older bridges do not tell.
    pub boot_id: Option<String>,
    /// How long the proxy has been running.
    pub uptime: Option<Duration>,
    /// The servers.
    pub servers: Vec<ProxyEntry>,
}

/// What a removal found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unregistered {
    /// It was registered and is no longer.
    Removed,
    /// It was not registered.
    WasGone,
}

/// Why a call to the proxy failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProxyError {
    /// No connection. Surely not executed.
    #[error("{operation}: the proxy was not reached: {detail}")]
    Unreachable {
        /// The call.
        operation: String,
        /// The cause.
        detail: String,
    },
    /// The answer was lost or did not come in time; a change may have been made.
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
        /// The words of the bridge.
        detail: String,
    },
    /// What answers at the address of the bridge may be something else, and is not believed.
    #[error("{operation}: the settings of the proxy are wrong: {detail}")]
    Misconfigured {
        /// The call.
        operation: String,
        /// What it did, and which setting to look at.
        detail: String,
    },
    /// The bridge cannot list what is registered.
    #[error("{operation}: the bridge does not support it")]
    Unsupported {
        /// The call.
        operation: String,
    },
    /// Another registration of the name came back after it was removed: somebody else registers it too.
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
        /// The words of the bridge, cut to a readable length.
        detail: String,
    },
    /// A listing that cannot be read as a whole, and so is not believed in part.
    #[error("{operation}: the answer makes no sense: {detail}")]
    Protocol {
        /// The call.
        operation: String,
        /// What is wrong with it.
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

/// The calls zpack makes to the proxy. A registration lives as long as the run of the proxy it was made in. A change is
/// several requests, so whoever changes a name holds it: two at a time undo each other.
#[async_trait]
pub trait GameProxy: Send + Sync {
    /// Everything that is registered. A listing is whole or an error, never a part.
    async fn list(&self) -> Result<ProxyListing, ProxyError>;

    /// Registers a server under its canonical name. Repeating it is harmless; another registration of the same name is
    /// replaced, and for a moment the name leads nowhere.
    async fn register(&self, name: &DnsName, address: SocketAddr) -> Result<(), ProxyError>;

    /// Removes the registration of `name`: the canonical name, or exactly what a listing showed. Entries of the same
    /// name in other spellings, the first label alone included, go with it. That nothing is left is believed only
    /// when a listing says so, where the bridge has one; from one without, once it has proved to be a bridge.
    async fn unregister(&self, name: &str) -> Result<Unregistered, ProxyError>;
}

/// The secret that the bridge sends with its callbacks.
#[async_trait]
pub trait BridgeSecret: Debug + Send + Sync {
    /// Whether `sent`, the value of the header, comes from the bridge.
    async fn proves(&self, sent: &str) -> bool;
}
