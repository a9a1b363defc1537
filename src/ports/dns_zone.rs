//! The records of a DNS zone, as both of our DNS servers store them (docs/contracts/edge.md A and B).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::kernel::{Classify, DnsName, Failure, Timestamp, text_enum};

/// The server's id of a record. Only a hint: a record that was deleted and created again has another id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordId(pub String);

text_enum! {
    /// The type of a record, as far as zpack distinguishes it.
    pub enum RecordType {
        /// An IPv4 address.
        A = "A",
        /// An IPv6 address.
        Aaaa = "AAAA",
        /// A service on a host and a port.
        Srv = "SRV",
        /// An alias of another name; excludes every other record at its name.
        Cname = "CNAME",
        /// A delegation: another server answers for the names below it.
        Ns = "NS",
        /// Any other type.
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
    /// The host; `None` for ".", which means that the service is not offered.
    pub target: Option<DnsName>,
}

/// The value of a record. Values are parsed, never compared as text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RecordData {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// A service.
    Srv(Srv),
    /// The target of the alias.
    Cname(DnsName),
    /// A name server of the delegated zone.
    Ns(DnsName),
    /// A record of one of these types whose value cannot be parsed.
    Unreadable {
        /// The type.
        kind: RecordType,
        /// What was listed, cut to a readable length.
        text: String,
    },
    /// Any other record, by its type and text.
    Other {
        /// The type, in upper case.
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
            Self::Unreadable { kind, .. } => *kind,
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

/// A record as the server lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneRecord {
    /// Its id, on servers that have one.
    pub id: Option<RecordId>,
    /// Its absolute name.
    pub name: DnsName,
    /// Its value.
    pub data: RecordData,
    /// How long resolvers may keep it.
    pub ttl: Ttl,
    /// Whether the server answers with the address of its own proxy instead (Cloudflare).
    pub proxied: bool,
    /// Listed but not served (Technitium).
    pub disabled: bool,
    /// The comment, which contains the mark.
    pub comment: Option<String>,
    /// When it was created, if the server shows it.
    pub created_at: Option<Timestamp>,
}

/// A record as it should be: served, and not proxied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// Its absolute name.
    pub name: DnsName,
    /// Its value.
    pub data: RecordData,
    /// How long resolvers may keep it.
    pub ttl: Ttl,
    /// The comment, which contains the mark.
    pub comment: String,
}

/// One change of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZoneChange {
    /// Create a record at a name that has none of its type.
    Create(NewRecord),
    /// Rewrite exactly this record in place.
    Update {
        /// The record as it was listed.
        from: ZoneRecord,
        /// What it becomes.
        to: NewRecord,
    },
    /// Delete exactly this record, as it was listed. A record that is already gone counts as success.
    Delete(ZoneRecord),
}

/// Why a call to a DNS server failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ZoneError {
    /// No connection. Certainly not executed.
    #[error("{operation}: the DNS server was not reached: {detail}")]
    Unreachable {
        /// The call.
        operation: String,
        /// The cause.
        detail: String,
    },
    /// The answer was lost, cut off or unreadable; a change may have been made.
    #[error("{operation}: no usable answer from the DNS server: {detail}")]
    NoAnswer {
        /// The call.
        operation: String,
        /// The cause.
        detail: String,
    },
    /// The token is wrong, has expired or lacks a right. No call is made until it may have been replaced.
    #[error("{operation}: the DNS server does not accept our token: {detail}")]
    Unauthorized {
        /// The call.
        operation: String,
        /// The server's message.
        detail: String,
    },
    /// Too many calls.
    #[error("{operation}: too many calls, the DNS server asks to wait {} s", .retry_after.as_secs())]
    RateLimited {
        /// The call.
        operation: String,
        /// How long no call is made.
        retry_after: Duration,
    },
    /// The zone or the plan of the account is full.
    #[error("{operation}: a quota of the DNS server is used up: {detail}")]
    Quota {
        /// The call.
        operation: String,
        /// The server's message.
        detail: String,
    },
    /// An existing record excludes the change: the records have to be read and compared again.
    #[error("{operation}: another record is in the way: {detail}")]
    Conflict {
        /// The call.
        operation: String,
        /// The server's message.
        detail: String,
    },
    /// The record that should be updated is gone: the records have to be read again.
    #[error("{operation}: the record is gone")]
    Gone {
        /// The call.
        operation: String,
    },
    /// The server asks for an immediate retry.
    #[error("{operation}: the DNS server is busy: {detail}")]
    Busy {
        /// The call.
        operation: String,
        /// The server's message.
        detail: String,
    },
    /// The settings name a zone or an account that does not exist.
    #[error("{operation}: the settings of the DNS server are wrong: {detail}")]
    Misconfigured {
        /// The call.
        operation: String,
        /// The server's message, and which setting to check.
        detail: String,
    },
    /// The server refused permanently.
    #[error("{operation}: the DNS server refused: {detail}")]
    Refused {
        /// The call.
        operation: String,
        /// The server's message.
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

/// The calls zpack makes to one DNS server about its zone.
#[async_trait]
pub trait DnsZone: Send + Sync {
    /// Every record at exactly these names, of any type and owner. The complete list or an error; a record whose value cannot
    /// be parsed is listed as such.
    async fn records_at(&self, names: &[DnsName]) -> Result<Vec<ZoneRecord>, ZoneError>;

    /// Every record of the zone. The complete list or an error.
    async fn list(&self) -> Result<Vec<ZoneRecord>, ZoneError>;

    /// Makes the changes. After an error any of them may have been made: read again before a retry.
    async fn apply(&self, changes: &[ZoneChange]) -> Result<(), ZoneError>;

    /// Whether the token may read and change the zone, as far as the server shows it.
    async fn check(&self) -> Result<ZoneHealth, ZoneError>;
}

/// What a DNS server reports about our token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneHealth {
    /// When the token expires, if the server shows it.
    pub token_expires_at: Option<Timestamp>,
}
