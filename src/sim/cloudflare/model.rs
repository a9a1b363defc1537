//! The data of the service: one zone, its records, the tokens, the limits of the plan.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::kernel::Timestamp;
use crate::sim::wire::put;

/// The most records the zone holds, whatever the plan says or a person at the dashboard adds.
pub(super) const MAX_RECORDS: usize = 10_000;
/// The most tokens there may be.
pub(super) const MAX_TOKENS: usize = 100;

/// The value of an SRV record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SrvData {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) port: u16,
    pub(super) target: String,
}

/// A stored record, normalised unless it was added at the dashboard.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) content: String,
    pub(super) data: Option<SrvData>,
    pub(super) ttl: u32,
    pub(super) proxied: bool,
    pub(super) comment: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) created_on: Timestamp,
    pub(super) modified_on: Timestamp,
    /// Replaces fields of what is shown; null removes a field. For the spellings of other releases of the API.
    pub(super) view: Map<String, Value>,
}

impl Record {
    pub(super) fn proxiable(&self) -> bool {
        matches!(self.kind.as_str(), "A" | "AAAA" | "CNAME")
    }

    /// Whether the store counts it as the same record: an identical one is refused.
    pub(super) fn equals(&self, other: &Self) -> bool {
        (&self.kind, &self.name, &self.content, &self.data) == (&other.kind, &other.name, &other.content, &other.data)
    }

    /// The record as it is stored.
    pub(super) fn held(&self) -> Value {
        let mut shown = json!({
            "id": self.id, "type": self.kind, "name": self.name, "content": self.content, "ttl": self.ttl,
            "proxied": self.proxied, "proxiable": self.proxiable(), "comment": self.comment, "tags": self.tags,
            "settings": {}, "meta": {}, "created_on": self.created_on, "modified_on": self.modified_on,
        });
        if let Some(data) = &self.data {
            put(&mut shown, "data", json!(data));
            put(&mut shown, "priority", json!(data.priority));
        }
        shown
    }

    /// The record as the API shows it: as it is stored, with the fields that a test has replaced.
    pub(super) fn show(&self) -> Value {
        let mut shown = self.held();
        if let Some(fields) = shown.as_object_mut() {
            for (key, value) in &self.view {
                if value.is_null() {
                    fields.remove(key);
                } else {
                    fields.insert(key.clone(), value.clone());
                }
            }
        }
        shown
    }
}

/// A token and its permissions in the zone: to read and to write records, and to read the zone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Token {
    pub(super) id: String,
    pub(super) value: String,
    pub(super) status: String,
    pub(super) expires_on: Option<Timestamp>,
    pub(super) read: bool,
    pub(super) write: bool,
    /// Whether it may read the zone itself, such as its name, and not only its records.
    #[serde(default = "yes")]
    pub(super) zone: bool,
}

const fn yes() -> bool {
    true
}

impl Token {
    /// A token with every permission; one that belongs to an account is recognised by its prefix.
    pub(super) fn new(of_account: bool) -> Self {
        let prefix = if of_account { "cfat_" } else { "" };
        Self {
            id: new_id(),
            value: format!("{prefix}{}", new_id()),
            status: "active".to_owned(),
            expires_on: None,
            read: true,
            write: true,
            zone: true,
        }
    }

    pub(super) fn is_of_account(&self) -> bool {
        self.value.starts_with("cfat_")
    }

    pub(super) fn status_at(&self, now: Timestamp) -> &str {
        if self.expires_on.is_some_and(|end| end <= now) { "expired" } else { &self.status }
    }
}

/// The limits of the plan of the zone; the defaults are those of a free one.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Plan {
    pub(super) records: usize,
    pub(super) tags: usize,
    pub(super) comment: usize,
    pub(super) batch: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self { records: 200, tags: 0, comment: 100, batch: 200 }
    }
}

/// Everything that is kept over a restart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Model {
    pub(super) account: String,
    pub(super) zone_id: String,
    pub(super) zone: String,
    pub(super) plan: Plan,
    pub(super) tokens: Vec<Token>,
    pub(super) records: Vec<Record>,
}

impl Model {
    pub(super) fn new(zone: &str) -> Self {
        Self {
            account: new_id(),
            zone_id: new_id(),
            zone: zone.to_owned(),
            plan: Plan::default(),
            tokens: vec![Token::new(false)],
            records: Vec::new(),
        }
    }
}

/// 32 hexadecimal characters.
pub(super) fn new_id() -> String {
    Uuid::new_v4().simple().to_string()
}

pub(super) fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
