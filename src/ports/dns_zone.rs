//! The records of a DNS zone, as both of our DNS servers hold them (wire/edge.md sections A and B).

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::kernel::{DnsName, Timestamp, text_enum};

/// The server's own name for a record. Only a hint: a record that was made anew by hand has another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordId(pub String);

text_enum! {
    /// The type of a record, as far as it means something to us.
    pub enum RecordType {
        /// An IPv4 address.
        A = "A",
        /// An IPv6 address.
        Aaaa = "AAAA",
        /// A service on a host and a port.
        Srv = "SRV",
        /// Another name of a host: excludes every other record at its name.
        Cname = "CNAME",
        /// A delegation: what is below it is not ours to answer.
        Ns = "NS",
        /// Something else, which concerns nobody here.
        Other = "other",
    }
}

/// The value of an SRV record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Srv {
    /// Lower ones are tried first.
    pub priority: u16,
    /// The share among equals.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host; none for ".", which says that the service is not offered.
    pub target: Option<DnsName>,
}

/// What a record says. Values are parsed, never compared as text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RecordData {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// A service.
    Srv(Srv),
    /// The name this one stands for.
    Cname(DnsName),
    /// A name server of the delegated zone.
    Ns(DnsName),
    /// Any other record, by its type and text.
    Other {
        /// The type, upper-case.
        kind: String,
        /// The value as the server shows it.
        text: String,
    },
}

impl RecordData {
    /// The type of the record.
    pub const fn record_type(&self) -> RecordType {
        match self {
            Self::A(_) => RecordType::A,
            Self::Aaaa(_) => RecordType::Aaaa,
            Self::Srv(_) => RecordType::Srv,
            Self::Cname(_) => RecordType::Cname,
            Self::Ns(_) => RecordType::Ns,
            Self::Other { .. } => RecordType::Other,
        }
    }
}

/// How long a resolver may keep an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Ttl {
    /// The server chooses (Cloudflare writes 1 for it).
    Auto,
    /// Seconds.
    Seconds(u32),
}

/// A record as a server holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneRecord {
    /// Its id, on servers that have one.
    pub id: Option<RecordId>,
    /// Its absolute name.
    pub name: DnsName,
    /// What it says.
    pub data: RecordData,
    /// How long it may be kept.
    pub ttl: Ttl,
    /// Whether answers name the server's own proxy instead (Cloudflare).
    pub proxied: bool,
    /// Listed but not served (Technitium).
    pub disabled: bool,
    /// The remark, which carries the mark of its owner.
    pub comment: Option<String>,
    /// When it was made, where the server tells.
    pub created_at: Option<Timestamp>,
}
