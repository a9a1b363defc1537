//! The last requests to the peers, newest last, without secrets.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::redact;
use super::ring::Ring;
use super::wire::{Delivery, Reply, SimRequest};
use crate::kernel::Timestamp;

/// How many requests are kept: more than a test sends before it asks, some minutes of `zpack dev`.
const CAPACITY: usize = 5000;
/// The headers that carry credentials.
const CREDENTIALS: [&str; 2] = ["authorization", "x-zpack-secret"];

/// One request and its answer.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// The number of the request in this world.
    pub seq: u64,
    /// When it arrived.
    pub at: Timestamp,
    /// The peer.
    pub peer: &'static str,
    /// The address it was sent to.
    pub to: String,
    /// The method.
    pub method: String,
    /// The decoded path.
    pub path: String,
    /// The query, secrets masked.
    pub query: Vec<(String, String)>,
    /// The body as text, secrets masked, cut.
    pub body: String,
    /// Whether it had credentials.
    pub authorization: bool,
    /// The status of the answer; absent when none was sent.
    pub status: Option<u16>,
    /// The fault that hit it.
    pub fault: Option<u64>,
}

impl Entry {
    /// The entry of a request that has just arrived.
    pub fn of(request: &SimRequest, at: Timestamp) -> Self {
        Self {
            seq: 0,
            at,
            peer: request.peer,
            to: request.local.to_string(),
            method: request.method.to_string(),
            path: redact::cut(request.path()),
            query: redact::pairs(request.query.iter().map(|(key, value)| (key.as_str(), value.as_str()))),
            body: redact::body(request.header("content-type").unwrap_or_default(), &request.body),
            authorization: CREDENTIALS.iter().any(|name| request.headers.contains_key(*name)),
            status: None,
            fault: None,
        }
    }

    /// Adds the answer.
    pub fn answered(&mut self, reply: &Reply) {
        self.status = match reply.delivery {
            Delivery::Whole | Delivery::Truncated => Some(reply.status),
            Delivery::Reset | Delivery::NoAnswer => None,
        };
    }
}

/// The last requests.
#[derive(Default)]
pub struct Journal {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    seq: u64,
    entries: Ring<Entry, CAPACITY>,
}

impl Journal {
    /// Adds a request; when the journal is full the oldest one goes.
    pub fn record(&self, mut entry: Entry) {
        let mut inner = self.lock();
        inner.seq += 1;
        entry.seq = inner.seq;
        inner.entries.push(entry);
    }

    /// The requests of one peer, or of all.
    pub fn list(&self, peer: Option<&str>) -> Vec<Entry> {
        self.lock().entries.iter().filter(|entry| peer.is_none_or(|peer| entry.peer == peer)).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hyper::{HeaderMap, Method};

    use super::*;

    fn request(path: &str) -> SimRequest {
        SimRequest {
            peer: "proxmox",
            local: ([127, 0, 0, 1], 8006).into(),
            endpoint: "",
            method: Method::GET,
            raw_path: format!("/{path}"),
            segments: vec![path.to_owned()],
            query: vec![("q".to_owned(), "v".repeat(100_000))],
            headers: HeaderMap::new(),
            body: Bytes::from("b".repeat(100_000)),
            oversized: false,
            upgrade: None,
        }
    }

    #[test]
    fn the_last_requests_are_kept_and_none_is_kept_at_any_length() {
        let journal = Journal::default();
        let entry = Entry::of(&request(&"p".repeat(100_000)), Timestamp::from_millis(0));
        let kept =
            entry.path.len() + entry.body.len() + entry.query.iter().map(|(_, value)| value.len()).sum::<usize>();
        assert!(kept < 3 * 4200, "{kept}");
        for _ in 0..CAPACITY + 10 {
            journal.record(Entry::of(&request("version"), Timestamp::from_millis(0)));
        }
        let all = journal.list(Some("proxmox"));
        assert_eq!((all.len(), all.first().unwrap().seq), (CAPACITY, 11));
    }
}
