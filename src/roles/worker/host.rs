//! The queue `host`, for operations on existing servers. Beside it, tasks finish publications, settle debts and sweep
//! the zones.

use std::sync::Arc;
use std::time::Duration;

use super::parts::WorkerParts;
use crate::background::Task;
use crate::jobs::{Queue, Registry, RegistryError};
use crate::power::{PowerDeps, PowerJob};
use crate::publishing::{PublishJob, Publisher, Reconciler, SettingsCheck};
use crate::teardown::{Collector, OrphanSweep, OrphanSweepDeps, TeardownDeps, TeardownJob};

/// How often unfinished publications are retried: a customer may be waiting.
const EDGE_INTERVAL: Duration = Duration::from_secs(1);
/// How often due debts are looked for. The first wait of a debt is half a minute.
const DEBT_INTERVAL: Duration = Duration::from_secs(10);

/// The jobs of the queue.
pub fn jobs(parts: &WorkerParts) -> Result<Registry, RegistryError> {
    Registry::for_queue(Queue::Host)
        .with(Arc::new(PublishJob::new(parts.publisher.clone(), parts.policy.timings.container.task_poll)))?
        .with(Arc::new(TeardownJob::new(teardown(parts, &parts.publisher))))?
        .with(Arc::new(PowerJob::new(PowerDeps {
            db: parts.db.clone(),
            hypervisor: parts.hypervisor.clone(),
            agent: parts.agent.clone(),
            timings: parts.policy.timings.container,
            grace: parts.stop_grace,
            agent_timeout: parts.policy.timings.ready_timeout,
            clock: parts.clock.clone(),
        })))
}

/// The background tasks beside the queue.
pub fn tasks(parts: &WorkerParts) -> Vec<Box<dyn Task>> {
    vec![
        Box::new(Reconciler { publisher: parts.background.clone(), interval: EDGE_INTERVAL }),
        Box::new(SettingsCheck { targets: parts.background.targets.clone() }),
        Box::new(collector(parts)),
        Box::new(OrphanSweep::new(OrphanSweepDeps {
            db: parts.db.clone(),
            hypervisor: parts.hypervisor.clone(),
            targets: parts.background.targets.clone(),
            zone: parts.background.policy.zone.clone(),
        })),
    ]
}

/// The task that settles debts.
pub fn collector(parts: &WorkerParts) -> Collector {
    Collector { deps: teardown(parts, &parts.background), interval: DEBT_INTERVAL }
}

/// How servers are deleted, with the targets of `publisher`.
fn teardown(parts: &WorkerParts, publisher: &Publisher) -> TeardownDeps {
    TeardownDeps {
        db: parts.db.clone(),
        hypervisor: parts.hypervisor.clone(),
        targets: publisher.targets.clone(),
        timings: parts.teardown_timings,
        lock_poll: parts.policy.timings.container.task_poll,
        clock: parts.clock.clone(),
    }
}
