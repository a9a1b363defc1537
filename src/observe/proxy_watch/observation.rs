//! What one pass observed of one server, and whether that is worth a write. Pure.

use std::time::Duration;

use super::published::Published;
use crate::edge::{PROXY_TRUST, ProxyRecord};
use crate::kernel::Timestamp;
use crate::ports::{Ping, ProxyListing};
use crate::servers::payload::PayloadUpdate;

/// A stored ping is replaced when it is older than this.
const PING_AGE: Duration = Duration::from_secs(PROXY_TRUST.as_secs() / 2);
/// A stored listing is replaced when it is older than this. Later than a ping, which replaces it too.
const LISTING_AGE: Duration = Duration::from_secs(PROXY_TRUST.as_secs() / 4 * 3);

/// Whether a server was registered as it should be, by a listing of the proxy.
#[derive(Clone, Debug)]
pub(super) struct Sighting {
    /// Whether it was.
    pub(super) listed: bool,
    /// When the listing was read.
    pub(super) at: Timestamp,
    /// The run of the proxy.
    pub(super) boot_id: Option<String>,
}

/// What was observed of one server.
pub(super) struct ProxyObservation<'a> {
    /// The publication during which it was observed.
    pub(super) generation: u32,
    /// In the listing of the proxy.
    pub(super) sighting: Option<&'a Sighting>,
    /// The result of a ping and when it ended.
    pub(super) ping: Option<(&'a Ping, Timestamp)>,
}

impl ProxyObservation<'_> {
    /// The change to the row of `server`; `None` when nothing is worth a write.
    pub(super) fn change(&self, server: &Published, now: Timestamp) -> Option<PayloadUpdate<ProxyRecord>> {
        // Published again meanwhile: the observation belongs to the previous publication.
        if server.generation != self.generation {
            return None;
        }
        let before = server.record();
        let mut record = before.clone();
        if let Some(Sighting { listed, at, boot_id }) = self.sighting {
            let listing = ProxyListing { boot_id: boot_id.clone(), uptime: None, servers: Vec::new() };
            record = record.sighted(&listing, *listed, *at);
        }
        if let Some((ping, at)) = self.ping {
            record = record.pinged(ping, at);
        }
        // No need to make it due: it is being published, or its registration is retried anyway.
        let due = self.sighting.is_some_and(|sighting| !sighting.listed) && !server.in_hand;
        let old = server.stored.as_ref().unwrap_or(&before);
        (due || is_news(old, &record, now))
            .then(|| PayloadUpdate { value: Some(record), edge_due_at: due.then_some(Some(now)) })
    }
}

/// Whether `new` differs from `old`, or `old` is about to expire.
fn is_news(old: &ProxyRecord, new: &ProxyRecord, now: Timestamp) -> bool {
    let differs =
        old.since != new.since || old.presence(now) != new.presence(now) || old.ping_state(now) != new.ping_state(now);
    let fresher = |old: Option<Timestamp>, new: Option<Timestamp>, age: Duration| {
        new > old && old.is_some_and(|at| now.since(at) > age)
    };
    let seen = |record: &ProxyRecord| record.seen.as_ref().map(|sighting| sighting.at);
    let pinged = |record: &ProxyRecord| record.ping.as_ref().map(|note| note.at);
    differs || fresher(seen(old), seen(new), LISTING_AGE) || fresher(pinged(old), pinged(new), PING_AGE)
}
