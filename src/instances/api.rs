//! What the handlers of servers share.

use sea_orm::DatabaseConnection;

use crate::db::entities::instance;
use crate::kernel::{Clock, Timestamp};
use crate::observe::facts::{Freshness, Live, Observation, ObservedPower, observe, observed_power};
use crate::observe::live::LiveState;

/// What the routes of servers work with.
#[derive(Clone)]
pub struct ServersApi {
    /// The servers.
    pub db: DatabaseConnection,
    /// What was last observed of them.
    pub live: LiveState,
    /// The clock.
    pub clock: Clock,
    /// How long observations count.
    pub freshness: Freshness,
}

/// What is known of one server at the moment of a request.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The moment.
    pub now: Timestamp,
    /// Everything together.
    pub seen: Observation,
    /// The power of its container alone.
    pub power: ObservedPower,
}

impl ServersApi {
    /// What is known of `server` now: one Redis round trip.
    pub async fn observed(&self, server: &instance::Model) -> Observed {
        let live = self.live.read(&[server]).await.pop().unwrap_or(Live::Unreadable);
        self.judge(server, &live, self.clock.now())
    }

    /// Each of `servers` with what is known of it now: one Redis round trip, however many there are.
    pub async fn all_observed(&self, servers: Vec<instance::Model>) -> Vec<(instance::Model, Observed)> {
        let mut live = self.live.read(&servers.iter().collect::<Vec<_>>()).await.into_iter();
        let now = self.clock.now();
        let observed = |server: instance::Model| {
            let observed = self.judge(&server, &live.next().unwrap_or(Live::Unreadable), now);
            (server, observed)
        };
        servers.into_iter().map(observed).collect()
    }

    fn judge(&self, server: &instance::Model, live: &Live, now: Timestamp) -> Observed {
        let seen = observe(server.kind, live, now, self.freshness);
        Observed { now, seen, power: observed_power(live, now, self.freshness) }
    }
}
