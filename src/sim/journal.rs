//! The requests the peers have seen, newest last, without secrets.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::redact;
use super::wire::{Delivery, Reply, SimRequest};
use crate::kernel::Timestamp;

/// How many requests are remembered.
const CAPACITY: usize = 5000;
/// The headers that carry credentials.
const CREDENTIALS: [&str; 2] = ["authorization", "x-zpack-secret"];

/// One request and its answer.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Counts all requests of the world.
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
    /// Whether it carried credentials.
    pub authorization: bool,
    /// The status of the answer; absent when none was sent.
    pub status: Option<u16>,
    /// The fault it met.
    pub fault: Option<u64>,
}

impl Entry {
    /// The record of a request that has just arrived.
    pub fn of(request: &SimRequest, at: Timestamp) -> Self {
        Self {
            seq: 0,
            at,
            peer: request.peer,
            to: request.local.to_string(),
            method: request.method.to_string(),
            path: request.path(),
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
            Delivery::Reset | Delivery::Silence => None,
        };
    }
}

/// A bounded ring of [`Entry`].
#[derive(Default)]
pub struct Journal {
    ring: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    seq: u64,
    entries: VecDeque<Entry>,
}

impl Journal {
    /// Adds a request, forgetting the oldest when full.
    pub fn record(&self, mut entry: Entry) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.seq += 1;
        entry.seq = ring.seq;
        if ring.entries.len() >= CAPACITY {
            ring.entries.pop_front();
        }
        ring.entries.push_back(entry);
    }

    /// The requests of one peer, or of all.
    pub fn list(&self, peer: Option<&str>) -> Vec<Entry> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.entries.iter().filter(|entry| peer.is_none_or(|peer| entry.peer == peer)).cloned().collect()
    }
}
