//! What the client is told at its making.

use std::time::Duration;

use url::Url;

use crate::adapters::tls::TlsVerify;
use crate::adapters::token;
use crate::kernel::StoredSecret;
use crate::ports::NodeName;

/// Settings of the hypervisor client.
#[derive(Clone, Debug)]
pub struct ProxmoxSettings {
    /// The doors to the cluster, tried in this order until one lets us in. At least one.
    pub endpoints: Vec<Endpoint>,
    /// The API token, `USER@REALM!TOKENID=SECRET`; one in a file is read again when it is refused.
    pub token: StoredSecret,
    /// What makes the certificate of an endpoint acceptable.
    pub tls: TlsVerify,
    /// How containers are cloned.
    pub cloning: Cloning,
    /// How long to wait for what.
    pub deadlines: Deadlines,
}

/// One node's API. Any of them serves the whole cluster.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// For example `https://pve1.example.net:8006`; may end in `/api2/json`.
    pub base: Url,
    /// The node behind it, when known: calls about another node take one hop more and get a longer deadline.
    pub node: Option<NodeName>,
}

/// How the disks of a clone come to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cloning {
    /// Linked to the template's; needs a storage that can do it.
    Linked,
    /// Copied, to `storage` or to where the template's are.
    Full {
        /// The storage.
        storage: Option<String>,
    },
}

/// How long to wait for what (docs/contracts/proxmox.md 14.6). A hypervisor that is blocked answers after 30 s by
/// itself, so a change waits longer than that for its verdict.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// A connection.
    pub connect: Duration,
    /// A read about the connected node or the cluster.
    pub read: Duration,
    /// A read about another node.
    pub remote_read: Duration,
    /// A change.
    pub change: Duration,
    /// How long a refused token is not sent again.
    pub cool_down: Duration,
    /// How long a task that was just started may be unknown.
    pub task_grace: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(15),
            remote_read: Duration::from_secs(35),
            change: Duration::from_secs(40),
            cool_down: token::COOL_DOWN,
            task_grace: Duration::from_secs(3),
        }
    }
}
