//! How often the API looks at the agents.

use std::time::Duration;

use super::key::{Key, keys};
use super::reader::{Noted, Reader, Settings};

keys! { "Agent poller";
    /// How often every agent is asked for its state.
    POLLER_INTERVAL_MS = Key::default("POLLER_INTERVAL_MS", "5000").number(50..=600_000);
    /// How long an agent may take to answer.
    POLLER_TIMEOUT_MS = Key::default("POLLER_TIMEOUT_MS", "2000").number(50..=60_000);
    /// How many agents are asked at a time.
    POLLER_CONCURRENCY = Key::default("POLLER_CONCURRENCY", "64").number(1..=1024);
}

/// How often the API looks at the agents.
#[derive(Clone, Copy, Debug)]
pub struct PollerConfig {
    /// From one look at an agent to the next.
    pub interval: Duration,
    /// How long an agent may take to answer.
    pub timeout: Duration,
    /// How many agents are asked at a time.
    pub concurrency: usize,
}

impl Settings for PollerConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Noted> {
        let interval = env.millis(&POLLER_INTERVAL_MS);
        let timeout = env.millis(&POLLER_TIMEOUT_MS);
        let concurrency = env.number(&POLLER_CONCURRENCY);
        Ok(Self { interval: interval?, timeout: timeout?, concurrency: concurrency? })
    }
}
