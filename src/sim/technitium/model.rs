//! The data of the server: zones, records in their original case, tokens.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::kernel::{Timestamp, text_enum};
use crate::sim::dns::{Served, ServedData};
use crate::sim::wire::put;

/// The most zones.
pub(super) const MAX_ZONES: usize = 100;
/// The most tokens.
pub(super) const MAX_TOKENS: usize = 100;
/// The most records of one zone.
pub(super) const MAX_RECORDS: usize = 10_000;

text_enum! {
    /// Where a token is accepted, which depends on the release.
    pub enum Auth {
        /// `Authorization: Bearer` and the parameter `token`.
        Current = "current",
        /// Only the parameter, as up to release 14.
        Older = "older",
    }
}

/// The value of a record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Rdata {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Srv { priority: u16, weight: u16, port: u16, target: String },
    Cname(String),
    Ns(String),
    Txt(String),
}

impl Rdata {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::A(_) => "A",
            Self::Aaaa(_) => "AAAA",
            Self::Srv { .. } => "SRV",
            Self::Cname(_) => "CNAME",
            Self::Ns(_) => "NS",
            Self::Txt(_) => "TXT",
        }
    }

    /// Whether both are the same value; names are compared without case.
    pub(super) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::A(a), Self::A(b)) => a == b,
            (Self::Aaaa(a), Self::Aaaa(b)) => a == b,
            (Self::Txt(a), Self::Txt(b)) => a == b,
            (Self::Cname(a), Self::Cname(b)) | (Self::Ns(a), Self::Ns(b)) => a.eq_ignore_ascii_case(b),
            (
                Self::Srv { priority, weight, port, target },
                Self::Srv { priority: priority_b, weight: weight_b, port: port_b, target: target_b },
            ) => (priority, weight, port) == (priority_b, weight_b, port_b) && target.eq_ignore_ascii_case(target_b),
            _ => false,
        }
    }

    fn show(&self) -> Value {
        match self {
            Self::A(address) => json!({"ipAddress": address}),
            Self::Aaaa(address) => json!({"ipAddress": address}),
            Self::Srv { priority, weight, port, target } => {
                let target = if target.is_empty() { "." } else { target };
                json!({"priority": priority, "weight": weight, "port": port, "target": target})
            }
            Self::Cname(name) => json!({"cname": name}),
            Self::Ns(name) => json!({"nameServer": name}),
            Self::Txt(text) => json!({"text": text}),
        }
    }

    fn served(&self) -> ServedData {
        match self {
            Self::A(address) => ServedData::A(*address),
            Self::Aaaa(address) => ServedData::Aaaa(*address),
            Self::Srv { priority, weight, port, target } => {
                ServedData::Srv { priority: *priority, weight: *weight, port: *port, target: target.clone() }
            }
            Self::Cname(name) => ServedData::Cname(name.clone()),
            Self::Ns(name) => ServedData::Ns(name.clone()),
            Self::Txt(text) => ServedData::Txt(text.clone()),
        }
    }
}

/// A stored record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// As it was written.
    pub(super) name: String,
    pub(super) ttl: u32,
    pub(super) disabled: bool,
    pub(super) comments: Option<String>,
    pub(super) expiry_ttl: u32,
    pub(super) rdata: Rdata,
    pub(super) modified: Timestamp,
}

impl Record {
    /// Whether it belongs to the RRset of this name and type.
    pub(super) fn is_of(&self, name: &str, kind: &str) -> bool {
        self.rdata.kind() == kind && self.name.eq_ignore_ascii_case(name)
    }

    /// The record as the API shows it.
    pub(super) fn show(&self) -> Value {
        let mut shown = json!({
            "disabled": self.disabled, "name": self.name, "type": self.rdata.kind(), "ttl": self.ttl,
            "ttlString": format!("{}s", self.ttl), "rData": self.rdata.show(), "dnssecStatus": "Unknown",
            "lastUsedOn": "0001-01-01T00:00:00", "lastModified": self.modified, "expiryTtl": self.expiry_ttl,
        });
        if let Some(comments) = &self.comments {
            put(&mut shown, "comments", json!(comments));
        }
        shown
    }
}

/// A zone and its records.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Zone {
    pub(super) name: String,
    pub(super) records: Vec<Record>,
}

/// A token and its permissions in every zone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Token {
    pub(super) value: String,
    pub(super) view: bool,
    pub(super) modify: bool,
    pub(super) delete: bool,
}

impl Token {
    pub(super) fn new(view: bool, modify: bool, delete: bool) -> Self {
        Self { value: format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()), view, modify, delete }
    }
}

/// Everything that is kept over a restart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Model {
    pub(super) zones: Vec<Zone>,
    pub(super) tokens: Vec<Token>,
    pub(super) auth: Auth,
}

impl Model {
    pub(super) fn new(zone: &str) -> Self {
        Self {
            zones: vec![Zone { name: zone.to_owned(), records: Vec::new() }],
            tokens: vec![Token::new(true, true, true)],
            auth: Auth::Current,
        }
    }

    /// The records that are served: those that are not disabled.
    pub(super) fn served(&self) -> Vec<Served> {
        let records = self.zones.iter().flat_map(|zone| &zone.records).filter(|record| !record.disabled);
        records
            .map(|record| Served { name: record.name.clone(), ttl: record.ttl, data: record.rdata.served() })
            .collect()
    }
}
