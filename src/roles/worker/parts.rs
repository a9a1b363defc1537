//! What the jobs of workers are built from. `zpack worker`, `zpack dev` and the tests fill in [`WorkerParts`]; the
//! registries of the queues ([`provision`](mod@super::provision), [`host`](super::host)) are built from it in the same
//! way.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::DatabaseConnection;

use super::settings;
use crate::config::WorkerConfig;
use crate::containers::ContainerTimings;
use crate::jobs::Lists;
use crate::kernel::Clock;
use crate::observe::router_polls::StoredPolls;
use crate::ports::{Agent, Hypervisor};
use crate::provision::ProvisionPolicy;
use crate::publishing::Publisher;
use crate::roles::wiring::{self, Publishers};

/// What every job is built from.
#[derive(Clone)]
pub struct WorkerParts {
    /// The database.
    pub db: DatabaseConnection,
    /// The clock of the process.
    pub clock: Clock,
    /// The cluster.
    pub hypervisor: Arc<dyn Hypervisor>,
    /// The agents.
    pub agent: Arc<dyn Agent>,
    /// The publisher for jobs that a customer waits for.
    pub publisher: Publisher,
    /// The publisher for background tasks, which leaves most of each rate limit to the jobs.
    pub background: Publisher,
    /// Where and how servers are created.
    pub policy: ProvisionPolicy,
    /// How long a game may take to save its world, and its container then to shut down.
    pub stop_grace: Duration,
    /// How long a teardown waits for the hypervisor before the container becomes a debt.
    pub teardown_timings: ContainerTimings,
}

impl WorkerParts {
    /// Creates the clients that `config` describes. None of them connects yet.
    pub(in crate::roles) fn connect(
        config: &WorkerConfig,
        db: DatabaseConnection,
        lists: &Lists,
        clock: &Clock,
    ) -> anyhow::Result<Self> {
        let proxy = wiring::game_proxy(&config.velocity, clock)?.proxy;
        let polls = StoredPolls::new(lists.connection());
        let Publishers { publisher, background } =
            wiring::publishers(&config.zone, &config.velocity, proxy, &config.dns, polls, db.clone(), clock)?;
        let policy = settings::provision_policy(config);
        Ok(Self {
            db,
            clock: clock.clone(),
            hypervisor: wiring::hypervisor(&config.proxmox, clock)?,
            agent: Arc::new(wiring::agents(&config.agent, clock)?),
            publisher,
            background,
            stop_grace: config.provision.stop_grace,
            teardown_timings: settings::teardown_timings(&policy.timings.container),
            policy,
        })
    }
}
