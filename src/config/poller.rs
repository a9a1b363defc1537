//! How often the API looks at the agents.

use std::time::Duration;

use super::key::{Key, keys};
use super::parse::{millis, number};
use super::reader::{Noted, Reader, Settings};

keys! { "Agent poller";
    /// How often every agent is asked for its state.
    POLLER_INTERVAL_MS = Key::default("POLLER_INTERVAL_MS", "5000").expects("50 to 600000");
    /// How long an agent may take to answer.
    POLLER_TIMEOUT_MS = Key::default("POLLER_TIMEOUT_MS", "2000").expects("50 to 60000");
    /// How many agents are asked at a time.
    POLLER_CONCURRENCY = Key::default("POLLER_CONCURRENCY", "64").expects("1 to 1024");
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
        let interval = env.get(&POLLER_INTERVAL_MS, millis(50..=600_000));
        let timeout = env.get(&POLLER_TIMEOUT_MS, millis(50..=60_000));
        let concurrency = env.get(&POLLER_CONCURRENCY, number(1..=1024));
        Ok(Self { interval: interval?, timeout: timeout?, concurrency: concurrency? })
    }
}
