//! How the API polls the agents.

use std::time::Duration;

use super::key::{Key, keys};
use super::reader::{Reader, Reported, Settings};

keys! { "Agent poller";
    /// How often an agent is asked for its state while it changes or an operation on its server is unfinished.
    POLLER_INTERVAL_MS = Key::default("POLLER_INTERVAL_MS", "5000").number(50..=600_000);
    /// How often an agent is asked for its state when it has not changed for a long time.
    POLLER_LONGEST_INTERVAL_MS = Key::default("POLLER_LONGEST_INTERVAL_MS", "20000").number(50..=600_000);
    /// How often a running game server is pinged when it has not changed for a long time; while it changes, it is pinged at
    /// every second POLLER_INTERVAL_MS.
    POLLER_LONGEST_PING_INTERVAL_MS = Key::default("POLLER_LONGEST_PING_INTERVAL_MS", "60000").number(50..=60_000);
    /// The timeout of a request to an agent.
    POLLER_TIMEOUT_MS = Key::default("POLLER_TIMEOUT_MS", "2000").number(50..=60_000);
    /// The maximum number of agents that are asked at the same time.
    POLLER_CONCURRENCY = Key::default("POLLER_CONCURRENCY", "64").number(1..=1024);
}

/// How the API polls the agents.
#[derive(Clone, Copy, Debug)]
pub struct PollerConfig {
    /// The time between two requests to an agent that changes.
    pub interval: Duration,
    /// The longest time between two requests to the same agent.
    pub longest_interval: Duration,
    /// The longest time between two pings of the same game server.
    pub longest_ping_interval: Duration,
    /// The timeout of a request to an agent.
    pub timeout: Duration,
    /// The maximum number of agents that are asked at the same time.
    pub concurrency: usize,
}

impl Settings for PollerConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let interval = env.millis(&POLLER_INTERVAL_MS);
        let longest_interval = env.millis(&POLLER_LONGEST_INTERVAL_MS);
        let longest_ping_interval = env.millis(&POLLER_LONGEST_PING_INTERVAL_MS);
        let timeout = env.millis(&POLLER_TIMEOUT_MS);
        let concurrency = env.number(&POLLER_CONCURRENCY);
        let interval = interval?;
        // A longer interval than the longest one is the only one.
        let longest_interval = longest_interval?.max(interval);
        let (longest_ping_interval, timeout) = (longest_ping_interval?, timeout?);
        Ok(Self { interval, longest_interval, longest_ping_interval, timeout, concurrency: concurrency? })
    }
}
