//! Settings of the hypervisor client.

use std::time::Duration;

use url::Url;

use crate::adapters::tls::TlsVerify;
use crate::adapters::token;
use crate::kernel::{Reach, StoredSecret};
use crate::ports::NodeName;

/// Settings of the hypervisor client.
#[derive(Clone, Debug)]
pub struct ProxmoxSettings {
    /// The endpoints of the cluster, asked in this order until one gives an answer that counts. At least
    /// one.
    pub endpoints: Vec<Endpoint>,
    /// The API token, `USER@REALM!TOKENID=SECRET`; if it is in a file, the file is read again when the token is
    /// refused.
    pub token: StoredSecret,
    /// Which certificates of the endpoints are accepted.
    pub tls: TlsVerify,
    /// How containers are cloned.
    pub cloning: Cloning,
    /// Timeouts.
    pub deadlines: Deadlines,
    /// Which addresses may be called.
    pub reach: Reach,
}

/// The API of one node. Any of them serves the whole cluster.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// For example `https://pve1.example.net:8006`; may end in `/api2/json`.
    pub base: Url,
    /// The node of the address, if known: calls about other nodes take one more hop and get a longer timeout.
    pub node: Option<NodeName>,
}

/// How the disks of a clone are created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cloning {
    /// Linked to those of the template; needs a storage that supports it.
    Linked,
    /// Copied, to `storage` or to the storage of the template.
    Full {
        /// The storage.
        storage: Option<String>,
    },
}

/// Timeouts (docs/contracts/proxmox.md 14.6). A blocked hypervisor answers after 30 s, so a write waits longer than
/// that for its answer.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// For a connection.
    pub connect: Duration,
    /// For a read about the connected node or the cluster.
    pub read: Duration,
    /// For a read about another node.
    pub remote_read: Duration,
    /// For a write.
    pub change: Duration,
    /// How long a refused token is not sent again.
    pub cool_down: Duration,
    /// How long a task that was just started may have no record.
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
