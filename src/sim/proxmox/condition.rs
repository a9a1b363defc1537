//! The listeners of the nodes, and what may be wrong with the node behind one.
//!
//! Each node serves the whole cluster, over plain HTTP and over TLS with a certificate of its own that the authority of
//! the cluster has signed. A node that is not well ([`Condition`]) answers badly for all nodes, or writes nothing itself.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::kernel::text_enum;
use crate::sim::peer::FurtherListener;
use crate::sim::wire::{Delivery, Identity, Reply, ServerOptions};

/// The certificate of the authority that signed those of the nodes.
pub const AUTHORITY: &str = include_str!("tls/ca.pem");

/// The listeners: key, node, and whether it speaks TLS. The first node's plain listener is that of the peer itself.
pub const LISTENERS: [(&str, &str, bool); 3] =
    [("proxmox-pve2", "pve2", false), ("proxmox-pve1-tls", "pve1", true), ("proxmox-pve2-tls", "pve2", true)];
/// The node of the peer's own listener.
pub const FIRST_NODE: &str = "pve1";

text_enum! {
    /// What is wrong with a node.
    #[derive(Default)]
    pub enum Condition {
        /// Nothing.
        #[default]
        Healthy = "healthy",
        /// Its API server accepts connections and answers nothing; requests are not executed.
        Silent = "silent",
        /// Its API server executes requests and answers none.
        Mute = "mute",
        /// Its API server executes requests and answers 596 to each.
        LosesAnswers = "loses_answers",
        /// Its API server cannot connect to the other nodes: 595 for their paths.
        CutOff = "cut_off",
        /// Its API server accepts no token.
        Unauthorized = "unauthorized",
        /// The node has no quorum: its `/etc/pve` is read-only.
        NoQuorum = "no_quorum",
        /// Its cluster file system is not running, so it can authenticate no request.
        DeadPmxcfs = "dead_pmxcfs",
    }
}

/// The certificates of the nodes, and their conditions.
pub struct Endpoints {
    identities: BTreeMap<&'static str, Identity>,
    conditions: Mutex<BTreeMap<String, Condition>>,
}

impl Endpoints {
    /// Healthy nodes.
    pub fn new() -> io::Result<Self> {
        let identities = [("pve1", include_str!("tls/pve1.pem")), ("pve2", include_str!("tls/pve2.pem"))];
        let identities = identities.into_iter().map(|(node, pem)| Ok((node, Identity::from_pem(pem)?)));
        Ok(Self { identities: identities.collect::<io::Result<_>>()?, conditions: Mutex::default() })
    }

    /// The condition of a node.
    pub fn condition(&self, node: &str) -> Condition {
        let conditions = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        conditions.get(node).copied().unwrap_or_default()
    }

    /// Changes the condition of a node.
    pub fn set(&self, node: &str, condition: Condition) {
        self.conditions.lock().unwrap_or_else(PoisonError::into_inner).insert(node.to_owned(), condition);
    }

    /// The certificate of a node.
    pub fn identity(&self, node: &str) -> Option<&Identity> {
        self.identities.get(node)
    }

    /// The listeners beside the one of the peer itself; `ordinary` is how that one treats its connections.
    pub fn further(&self, ordinary: ServerOptions) -> Vec<FurtherListener> {
        let listener = |(key, node, tls): (&'static str, &'static str, bool)| FurtherListener {
            key,
            options: ServerOptions { endpoint: node, ..ordinary },
            identity: if tls { self.identities.get(node).cloned() } else { None },
        };
        LISTENERS.into_iter().map(listener).collect()
    }
}

impl Condition {
    /// The answer to every request at a node in this condition, before any work; `None` when it is handled.
    pub fn answers_first(self, delay: Duration) -> Option<Reply> {
        match self {
            Self::Silent => Some(Reply::new(200).delivered(Delivery::NoAnswer)),
            Self::Unauthorized => Some(Reply::new(401).with_reason("Authentication failed!").closing().after(delay)),
            Self::DeadPmxcfs => Some(Reply::new(500).with_reason(NOT_CHECKED).closing().after(delay)),
            Self::Healthy | Self::Mute | Self::LosesAnswers | Self::CutOff | Self::NoQuorum => None,
        }
    }

    /// What becomes of the answer to a request that was handled.
    pub fn passes_on(self, reply: Reply) -> Reply {
        match self {
            Self::Mute => reply.delivered(Delivery::NoAnswer),
            Self::LosesAnswers => Reply::new(596).with_reason("Connection timed out").closing(),
            Self::Healthy | Self::Silent | Self::CutOff | Self::Unauthorized | Self::NoQuorum | Self::DeadPmxcfs => {
                reply
            }
        }
    }
}

/// What a node answers while it cannot check permissions; the answer has no body.
pub const NOT_CHECKED: &str =
    "RPCEnvironment init request failed: Unable to load access control list: Connection refused";
