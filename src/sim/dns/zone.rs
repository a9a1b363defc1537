//! The records that a peer serves over DNS.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A record as resolvers get it. Names are absolute and without a final dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The owner.
    pub name: String,
    /// Seconds.
    pub ttl: u32,
    /// The value.
    pub data: ServedData,
}

/// The value of a record that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServedData {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// A service.
    Srv {
        /// Lower values first.
        priority: u16,
        /// The share among equals.
        weight: u16,
        /// The port.
        port: u16,
        /// The host; empty for ".".
        target: String,
    },
    /// Another name.
    Cname(String),
    /// A name server.
    Ns(String),
    /// A text.
    Txt(String),
}

/// The records of a DNS service.
pub trait ZoneView: Send + Sync + 'static {
    /// The zones it is authoritative for.
    fn zones(&self) -> Vec<String>;

    /// The records it serves now.
    fn served(&self) -> Vec<Served>;
}
