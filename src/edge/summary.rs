//! The part of an [`EdgeRecord`](super::EdgeRecord) that is shown with a server. A list parses many of them, so the rest of
//! the stored value is skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::overall::Overall;
use super::proxy_status::ProxyRecord;
use super::state::{EdgeState, Intent, ProxyPresence, TargetState};
use crate::kernel::{Target, Timestamp};
use crate::ports::poll_counts;

/// What is shown of a server's publication.
#[derive(Clone, Debug, Deserialize)]
pub struct EdgeSummary {
    begun_at: Timestamp,
    intent: Intent,
    publication: PublicationSummary,
    targets: BTreeMap<Target, TargetSummary>,
}

/// How far one target is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TargetSummary {
    /// How far it is.
    pub state: TargetState,
    /// When it is tried again.
    #[serde(default)]
    pub due_at: Option<Timestamp>,
    /// When it entered this state.
    pub changed_at: Timestamp,
}

#[derive(Clone, Debug, Deserialize)]
struct PublicationSummary {
    address: String,
    records: BTreeMap<Target, IgnoredAny>,
    #[serde(default)]
    registration: Option<RegistrationSummary>,
    #[serde(default)]
    route: Option<IgnoredAny>,
    #[serde(default)]
    ide: Option<IgnoredAny>,
}

#[derive(Clone, Debug, Deserialize)]
struct RegistrationSummary {
    address: SocketAddr,
}

impl EdgeSummary {
    /// The address players connect to, while the server shall be published.
    pub fn address(&self) -> Option<&str> {
        match self.intent {
            Intent::Published => Some(&self.publication.address),
            Intent::Unpublished => None,
        }
    }

    /// Whether players are routed to the server by the proxy, of which `seen` is known, or by Traefik, which last polled
    /// at `polled_at`.
    pub fn presence(&self, seen: &ProxyRecord, polled_at: Option<Timestamp>, now: Timestamp) -> ProxyPresence {
        match (&self.publication.registration, &self.publication.route) {
            (Some(_), _) => seen.presence(now),
            (None, Some(_)) => match polled_at {
                // A poll from before does not know its ports.
                Some(at) if at >= self.begun_at && poll_counts(at, now) => ProxyPresence::Registered,
                Some(_) | None => ProxyPresence::Unknown,
            },
            (None, None) => ProxyPresence::NotNeeded,
        }
    }

    /// What is known of this publication at the proxy: `stored`, unless it belongs to an older one.
    pub fn proxy_record(&self, stored: ProxyRecord) -> ProxyRecord {
        let backend = self.publication.registration.as_ref().map(|server| server.address);
        stored.of_publication(self.begun_at, backend)
    }

    /// How far each target is.
    pub const fn targets(&self) -> &BTreeMap<Target, TargetSummary> {
        &self.targets
    }

    /// All targets together.
    pub fn state(&self) -> EdgeState {
        let PublicationSummary { records, registration, route, ide, .. } = &self.publication;
        let mut wanted: BTreeSet<Target> = records.keys().copied().collect();
        wanted.extend(registration.as_ref().map(|_| Target::Velocity));
        wanted.extend(route.as_ref().map(|_| Target::Traefik));
        wanted.extend(ide.as_ref().map(|_| Target::Ide));
        let states = self.targets.iter().map(|(target, summary)| (*target, summary.state));
        Overall { intent: self.intent, wanted, states: states.collect() }.state()
    }
}
