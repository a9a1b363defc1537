//! What the proxy reports on a server, and what is kept of it (docs/contracts/edge.md C1).
//!
//! Callbacks arrive twice, late, out of order or not at all. They are merged last-write-wins by their time, so that order and
//! repetition make no difference. A callback from before the current publication, or about another address, is ignored.
//! Not here: the route, and where the record is stored.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::state::{PingState, ProxyPresence};
use crate::kernel::{Timestamp, text_enum};
use crate::ports::{Ping, ProxyListing};

/// How long a report counts: the proxy pings every 30 seconds, and may take 30 more until a ping times out.
pub const TRUST: Duration = Duration::from_secs(120);
/// The key of the payload a [`ProxyRecord`] is stored under.
pub const KEY: &str = "proxy";
/// The longest text that is kept of an event.
const MAX_TEXT: usize = 300;

text_enum! {
    /// What a callback reports; there are exactly these three.
    pub enum ProxyStatus {
        /// The proxy has registered the server.
        Registered = "registered_with_proxy",
        /// The proxy has pinged the server and got an answer.
        PingOk = "proxy_ping_ok",
        /// The proxy has pinged the server and got no answer.
        PingFailed = "proxy_ping_failed",
    }
}

/// A callback.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
pub struct ProxyEvent {
    /// The server, by its canonical name or its first label.
    #[schema(min_length = 1, max_length = 253)]
    pub server_name: String,
    /// `registered_with_proxy`, `proxy_ping_ok` or `proxy_ping_failed`.
    #[schema(value_type = String, example = "proxy_ping_ok")]
    pub status: ProxyStatus,
    /// The IP address the proxy forwards to.
    #[schema(format = "ip")]
    pub address: Option<String>,
    /// The port there.
    #[schema(maximum = 65_535)]
    pub port: Option<u16>,
    /// How long the ping took.
    #[schema(value_type = Option<f64>)]
    pub latency_ms: Option<u64>,
    /// Why the ping failed.
    pub error: Option<String>,
    /// The run of the proxy.
    pub boot_id: Option<String>,
    /// When it happened, by the clock of the proxy (RFC 3339).
    #[schema(value_type = Option<String>, format = "date-time")]
    pub at: Option<Timestamp>,
}

impl ProxyEvent {
    fn backend(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.address.as_ref()?.parse().ok()?, self.port?))
    }
}

/// The newest callback, which shows that the proxy knows the server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallbackNote {
    /// When.
    pub at: Timestamp,
    /// The run of the proxy.
    pub boot_id: Option<String>,
}

/// How a ping of the server went.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PingNote {
    /// When.
    pub at: Timestamp,
    /// What was found.
    pub state: PingState,
    /// How long it took.
    pub latency_ms: Option<u64>,
    /// Why it failed.
    pub error: Option<String>,
}

/// What a listing of the proxy said of the server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListingNote {
    /// When it was read.
    pub at: Timestamp,
    /// Whether the server was in it, under its name and with its address.
    pub listed: bool,
    /// The run of the proxy.
    pub boot_id: Option<String>,
}

/// Everything that is known of one server at the proxy, for one publication of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyRecord {
    /// When the current publication began; what is older belongs to another one.
    pub since: Option<Timestamp>,
    /// Where the proxy shall forward to.
    pub backend: Option<SocketAddr>,
    /// The newest callback of any kind: the proxy only pings what it knows.
    pub heard: Option<CallbackNote>,
    /// The newest ping, by the proxy or by ourselves.
    pub ping: Option<PingNote>,
    /// The newest listing.
    pub seen: Option<ListingNote>,
}

/// What becomes of a callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It is news; this has to be stored.
    Kept(ProxyRecord),
    /// It is known: a repetition, or older than what is stored.
    Known,
    /// It is older than the current publication.
    Late,
    /// It is about another address than the one that is published now.
    Elsewhere,
}

impl ProxyRecord {
    /// The record of a publication that begins at `since`: nothing is known of it yet.
    pub fn begin(since: Timestamp, backend: SocketAddr) -> Self {
        Self { since: Some(since), backend: Some(backend), ..Self::default() }
    }

    /// What is known of the publication that began at `begun_at` and forwards to `backend`: this, unless it belongs to an
    /// older one.
    #[must_use]
    pub fn of_publication(self, begun_at: Timestamp, backend: Option<SocketAddr>) -> Self {
        match backend {
            Some(backend) if self.since != Some(begun_at) || self.backend != Some(backend) => {
                Self::begin(begun_at, backend)
            }
            Some(_) | None => self,
        }
    }

    /// Merges a callback that arrived at `received`.
    pub fn receive(&self, event: &ProxyEvent, received: Timestamp) -> Receipt {
        // With a clock that is ahead every later callback would count as older.
        let at = event.at.unwrap_or(received).min(received);
        if self.since.is_some_and(|since| at < since) {
            return Receipt::Late;
        }
        if event.backend().zip(self.backend).is_some_and(|(theirs, ours)| theirs != ours) {
            return Receipt::Elsewhere;
        }
        let mut next = self.clone();
        next.heard = newer(next.heard, CallbackNote { at, boot_id: event.boot_id.as_deref().map(cut) });
        let state = match event.status {
            ProxyStatus::Registered => None,
            ProxyStatus::PingOk => Some(PingState::Answered),
            ProxyStatus::PingFailed => Some(PingState::Failed),
        };
        if let Some(state) = state {
            let error = event.error.as_deref().map(cut).filter(|_| state == PingState::Failed);
            next.ping = newer(next.ping, PingNote { at, state, latency_ms: event.latency_ms, error });
        }
        if next == *self { Receipt::Known } else { Receipt::Kept(next) }
    }

    /// Merges a complete listing that was read at `at`; `listed` is whether the server was in it as it should be.
    #[must_use]
    pub fn sighted(&self, listing: &ProxyListing, listed: bool, at: Timestamp) -> Self {
        let note = ListingNote { at, listed, boot_id: listing.boot_id.clone() };
        Self { seen: newer(self.seen.clone(), note), ..self.clone() }
    }

    /// Merges a ping of our own that ended at `at`.
    #[must_use]
    pub fn pinged(&self, ping: &Ping, at: Timestamp) -> Self {
        let (state, latency, error) = match ping {
            // It says nothing about the server behind the proxy.
            Ping::Answered(report) if report.is_from_proxy() => return self.clone(),
            Ping::Answered(report) => (PingState::Answered, Some(report.latency), None),
            Ping::Silent => (PingState::Silent, None, None),
            Ping::Unreachable { detail } | Ping::Unusable { detail } => (PingState::Failed, None, Some(cut(detail))),
        };
        let latency_ms = latency.map(|latency| u64::try_from(latency.as_millis()).unwrap_or(u64::MAX));
        Self { ping: newer(self.ping.clone(), PingNote { at, state, latency_ms, error }), ..self.clone() }
    }

    /// Whether the proxy knows the server, as far as is known at `now`.
    pub fn presence(&self, now: Timestamp) -> ProxyPresence {
        let heard = self.heard.as_ref().map(|note| (note.at, true));
        let seen = self.seen.as_ref().map(|note| (note.at, note.listed));
        // At the same moment the listing counts, because it is whole.
        let newest = match (heard, seen) {
            (Some(heard), Some(seen)) if heard.0 > seen.0 => Some(heard),
            (heard, seen) => seen.or(heard),
        };
        match newest.filter(|(at, _)| now.since(*at) <= TRUST) {
            Some((_, true)) => ProxyPresence::Registered,
            Some((_, false)) => ProxyPresence::NotRegistered,
            None => ProxyPresence::Unknown,
        }
    }

    /// How the last ping went, as far as it still counts at `now`.
    pub fn ping_state(&self, now: Timestamp) -> PingState {
        let fresh = self.ping.as_ref().filter(|note| now.since(note.at) <= TRUST);
        fresh.map_or(PingState::Unknown, |note| note.state)
    }
}

fn newer<T: Ord>(known: Option<T>, note: T) -> Option<T> {
    known.max(Some(note))
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
#[path = "proxy_status_tests.rs"]
mod tests;
