//! State shared by the handlers of `/api/servers` and `/api/instances`.

use crate::db::Reads;
use crate::db::entities::instance;
use crate::kernel::{Clock, Timestamp};
use crate::observe::facts::{Freshness, Live, Observation, ObservedPower, observe, observed_power};
use crate::observe::live::LiveState;

/// What the routes of servers need.
#[derive(Clone)]
pub struct ServersApi {
    /// The servers.
    pub reads: Reads,
    /// The last observations of them.
    pub live: LiveState,
    /// The clock.
    pub clock: Clock,
    /// How old an observation may be and still count.
    pub freshness: Freshness,
}

/// What is known of one server at the moment of a request.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The time of the request.
    pub now: Timestamp,
    /// All observations, merged.
    pub seen: Observation,
    /// The power of its container alone.
    pub power: ObservedPower,
}

impl ServersApi {
    /// What is known of `server` now; one Redis round trip.
    pub async fn observed(&self, server: &instance::Model) -> Observed {
        let live = self.live.read(&[server]).await.pop().unwrap_or(Live::Unreadable);
        self.judge(server, live, self.clock.now())
    }

    /// Pairs each of `servers` with what is known of it now; one Redis round trip for all of them.
    pub async fn all_observed(&self, servers: Vec<instance::Model>) -> Vec<(instance::Model, Observed)> {
        let mut live = self.live.read(&servers.iter().collect::<Vec<_>>()).await.into_iter();
        let now = self.clock.now();
        let observed = |server: instance::Model| {
            let observed = self.judge(&server, live.next().unwrap_or(Live::Unreadable), now);
            (server, observed)
        };
        servers.into_iter().map(observed).collect()
    }

    fn judge(&self, server: &instance::Model, live: Live, now: Timestamp) -> Observed {
        // Only for as long as it can count: later it would make an old server look observed.
        let is_new = now.since(server.created_at) <= self.freshness.agent.max(self.freshness.host);
        let live = if is_new { live.since_recorded(server.created_at, &server.node) } else { live };
        let seen = observe(server.kind, &live, now, self.freshness);
        Observed { now, seen, power: observed_power(&live, now, self.freshness) }
    }
}
