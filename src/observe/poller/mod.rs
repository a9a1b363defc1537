//! Asks every agent for its state and the hypervisor for the power of every container, for as long as `zpack serve` runs.
//!
//! Every interval the servers are read from the database in pages and claimed in Redis, so that several processes share
//! the work; each claimed agent is then asked in a task of its own, after a random part of the interval. At most
//! `concurrency` agents are asked at a time. An agent that was silent the last time waits in a lane of its own: however
//! many of them hang, those that answer are asked on time. See `docs/adr/0007-agent-poller.md`.
//!
//! Not here: what the facts mean ([`super::facts`]), where they are kept ([`super::live`]).

mod agents;
mod hosts;
mod lanes;
mod round;

use std::sync::Arc;
use std::time::Duration;

use sea_orm::DatabaseConnection;

pub use self::hosts::ContainerListing;
pub use self::round::AgentPoll;
use super::live::LiveState;
use crate::kernel::Clock;
use crate::ports::{Agent, Hypervisor};
use crate::telemetry::Metrics;

/// How the poller behaves.
#[derive(Clone, Debug)]
pub struct PollerSettings {
    /// From one look at an agent to the next.
    pub interval: Duration,
    /// How long an agent may take to answer.
    pub timeout: Duration,
    /// How many agents are asked at a time.
    pub concurrency: usize,
    /// From one listing of the hypervisor to the next; its own facts lag ten seconds behind.
    pub host_interval: Duration,
}

/// What the poller works with.
#[derive(Clone)]
pub struct Poller {
    /// The servers.
    pub db: DatabaseConnection,
    /// Where the facts go.
    pub live: LiveState,
    /// The agents.
    pub agent: Arc<dyn Agent>,
    /// The hypervisor.
    pub hypervisor: Arc<dyn Hypervisor>,
    /// The clock the facts are stamped with.
    pub clock: Clock,
    /// How it behaves.
    pub settings: PollerSettings,
    /// What it counts.
    pub metrics: Metrics,
}

impl Poller {
    /// What polls, as tasks of `zpack serve`: one asks the agents, the other lists the containers.
    pub fn tasks(self) -> (AgentPoll, ContainerListing) {
        (AgentPoll::new(self.clone()), ContainerListing::new(self))
    }
}
