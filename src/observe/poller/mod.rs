//! Polls the state of every agent, and the power of every container at the hypervisor, while `zpack serve` runs.
//!
//! In each interval the servers are read from the database in pages. Those that are due (`pace.rs`) or have an operation
//! under way are claimed in Redis, so that one of several processes polls. The process that polled last is preferred,
//! because it has a connection to the agent. Each claimed agent is polled in a Tokio task, after a random part of the
//! interval. At most `concurrency` agents are polled at a time. Agents that did not answer the last poll use a separate, smaller share,
//! so that they cannot delay those that answer. See `docs/adr/0007-agent-poller.md`.
//!
//! Elsewhere: what the facts mean ([`super::facts`]) and where they are stored ([`super::live`]).

mod agents;
mod hosts;
mod pace;
mod round;
mod waits;

use std::sync::Arc;
use std::time::Duration;

use sea_orm::DatabaseConnection;

pub use self::hosts::ContainerListing;
pub use self::round::AgentPoll;
use super::facts::PollerId;
use super::live::LiveState;
use crate::kernel::Clock;
use crate::ports::{Agent, Hypervisor};
use crate::telemetry::Metrics;

/// Settings of the poller.
#[derive(Clone, Debug)]
pub struct PollerSettings {
    /// Between two polls of an agent that changes.
    pub interval: Duration,
    /// The longest time between two polls of an agent that has been the same for long.
    pub longest_interval: Duration,
    /// How long an agent may take to answer.
    pub timeout: Duration,
    /// How many agents are polled at a time.
    pub concurrency: usize,
    /// Between two listings of the hypervisor, whose own data is up to ten seconds old.
    pub host_interval: Duration,
}

/// Dependencies of the poller.
#[derive(Clone)]
pub struct Poller {
    /// The servers.
    pub db: DatabaseConnection,
    /// Where the facts are stored.
    pub live: LiveState,
    /// The agents.
    pub agent: Arc<dyn Agent>,
    /// The hypervisor.
    pub hypervisor: Arc<dyn Hypervisor>,
    /// The clock for the time of each observation.
    pub clock: Clock,
    /// Its settings.
    pub settings: PollerSettings,
    /// Its metrics.
    pub metrics: Metrics,
    /// This process among those that poll.
    pub id: PollerId,
}

impl Poller {
    /// The background tasks of `zpack serve`: one polls the agents, the other lists the containers.
    pub fn tasks(self) -> (AgentPoll, ContainerListing) {
        (AgentPoll::new(self.clone()), ContainerListing::new(self))
    }
}
