//! The records of a DNS zone, as both of our DNS servers hold them (docs/contracts/edge.md A and B).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::kernel::{Classify, DnsName, Failure, Timestamp, text_enum};

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

/// A record as it should be. Answers never name the server's own proxy, and the record is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// Its absolute name.
    pub name: DnsName,
    /// What it says.
    pub data: RecordData,
    /// How long it may be kept.
    pub ttl: Ttl,
    /// The remark, which carries the mark of its owner.
    pub comment: String,
}

/// One change of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZoneChange {
    /// Make a record at a name that has none of its type.
    Create(NewRecord),
    /// Rewrite exactly this record in place.
    Update {
        /// The record as it was listed.
        from: ZoneRecord,
        /// What it becomes.
        to: NewRecord,
    },
    /// Remove exactly this record, as it was listed. That it is gone already is as good.
    Delete(ZoneRecord),
}

/// Why a call to a DNS server failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ZoneError {
    /// No connection. Surely not executed.
    #[error("{operation}: the DNS server was not reached: {detail}")]
    Unreachable {
        /// The call.
        operation: String,
        /// The cause.
        detail: String,
    },
    /// The answer was lost, cut off or made no sense; a change may have been made.
    #[error("{operation}: no usable answer from the DNS server: {detail}")]
    NoAnswer {
        /// The call.
        operation: String,
        /// The cause.
        detail: String,
    },
    /// The token is wrong, has expired or lacks a right. No call is made until it may have changed.
    #[error("{operation}: the DNS server does not accept our token: {detail}")]
    Unauthorized {
        /// The call.
        operation: String,
        /// The server's words.
        detail: String,
    },
    /// Too many calls.
    #[error("{operation}: too many calls, the DNS server asks to wait {} s", .retry_after.as_secs())]
    RateLimited {
        /// The call.
        operation: String,
        /// How long nothing is sent.
        retry_after: Duration,
    },
    /// The zone or the plan of the account is full.
    #[error("{operation}: a quota of the DNS server is used up: {detail}")]
    Quota {
        /// The call.
        operation: String,
        /// The server's words.
        detail: String,
    },
    /// What is there now excludes the change: it has to be read again and compared.
    #[error("{operation}: another record is in the way: {detail}")]
    Conflict {
        /// The call.
        operation: String,
        /// The server's words.
        detail: String,
    },
    /// The record that should be rewritten is gone: it has to be read again.
    #[error("{operation}: the record is gone")]
    Gone {
        /// The call.
        operation: String,
    },
    /// The server asks to try again at once.
    #[error("{operation}: the DNS server is busy: {detail}")]
    Busy {
        /// The call.
        operation: String,
        /// The server's words.
        detail: String,
    },
    /// The settings name a zone or an account that is not there.
    #[error("{operation}: the settings of the DNS server are wrong: {detail}")]
    Misconfigured {
        /// The call.
        operation: String,
        /// The server's words, and which setting to look at.
        detail: String,
    },
    /// The server refused for good.
    #[error("{operation}: the DNS server refused: {detail}")]
    Refused {
        /// The call.
        operation: String,
        /// The server's words.
        detail: String,
    },
}

impl Classify for ZoneError {
    fn failure(&self) -> Failure {
        match self {
            Self::Unreachable { .. } => Failure::Transient,
            Self::NoAnswer { .. } | Self::Conflict { .. } | Self::Gone { .. } => Failure::Ambiguous,
            Self::RateLimited { .. } | Self::Busy { .. } => Failure::Busy,
            Self::Unauthorized { .. } | Self::Misconfigured { .. } | Self::Quota { .. } => Failure::NeedsOperator,
            Self::Refused { .. } => Failure::Permanent,
        }
    }
}

/// The calls zpack makes to one DNS server about its one zone.
#[async_trait]
pub trait DnsZone: Send + Sync {
    /// Every record at exactly these names, of whatever type and owner. Whole or an error, never a part.
    async fn records_at(&self, names: &[DnsName]) -> Result<Vec<ZoneRecord>, ZoneError>;

    /// Every record of the zone. Whole or an error, never a part.
    async fn list(&self) -> Result<Vec<ZoneRecord>, ZoneError>;

    /// Makes the changes. After an error any part of them may have been made: read again before anything is repeated.
    async fn apply(&self, changes: &[ZoneChange]) -> Result<(), ZoneError>;

    /// Whether the token may read and change the zone, as far as the server tells.
    async fn check(&self) -> Result<ZoneHealth, ZoneError>;
}

/// What a DNS server says of our token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneHealth {
    /// When the token ends, where the server tells.
    pub token_expires_at: Option<Timestamp>,
}
