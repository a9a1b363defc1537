//! The timing, limits and policies of workers, derived from settings.

use std::time::Duration;

use crate::config::{JobsConfig, ProvisionConfig, WorkerConfig};
use crate::containers::ContainerTimings;
use crate::jobs::JobSettings;
use crate::ports::NodeName;
use crate::provision::{ProvisionPolicy, Timings};

/// The settings of the workers of the provision queue.
pub fn provision_jobs(jobs: &JobsConfig, provision: &ProvisionConfig) -> JobSettings {
    JobSettings {
        lease: jobs.lease,
        renew: jobs.renew,
        sweep: jobs.sweep,
        reap: jobs.reap,
        worker_ttl: jobs.reap.mul_f64(1.5).max(Duration::from_secs(1)),
        drain: jobs.drain,
        slots: Some(provision.slots),
        // The slots limit the queue; one process may use all of them.
        concurrency: provision.slots,
        // A renewal notices; a step boundary is as near as the longest call to a peer.
        grace: jobs.lease * 2,
        undo_stale: provision.unwind_stale,
    }
}

/// How long a power operation waits for an offline node. Other operations on the server wait behind it.
const AWAY: Duration = Duration::from_secs(120);

/// The settings of the workers of the host queue. It has no limit over all workers, because each job concerns a single
/// server.
pub fn host_jobs(jobs: &JobsConfig, provision: &ProvisionConfig) -> JobSettings {
    JobSettings { slots: None, concurrency: provision.host_concurrency, ..provision_jobs(jobs, provision) }
}

/// Where and how servers are created.
pub fn provision_policy(config: &WorkerConfig) -> ProvisionPolicy {
    let WorkerConfig { provision, proxmox, .. } = config;
    ProvisionPolicy {
        game_vmids: provision.game_vmids,
        dev_vmids: provision.dev_vmids,
        game_bridge: provision.game_bridge.clone(),
        dev_bridge: provision.dev_bridge.clone(),
        templates: proxmox.templates.clone(),
        only_node: proxmox.node.as_deref().map(NodeName::new),
        public_ports: provision.public_ports.clone(),
        pool: proxmox.pool.clone(),
        timings: Timings {
            container: ContainerTimings {
                task_poll: provision.task_poll,
                task_timeout: provision.task_timeout,
                away: provision.task_timeout.min(AWAY),
                absence: provision.clone_absence,
            },
            address_poll: provision.address_poll,
            address_timeout: provision.address_timeout,
            agent_poll: provision.agent_poll,
            ready_timeout: provision.ready_timeout,
        },
    }
}

/// How long a teardown waits for the hypervisor before it records a debt: a customer does not wait for an offline node.
pub fn teardown_timings(timings: &ContainerTimings) -> ContainerTimings {
    ContainerTimings { task_timeout: timings.task_timeout.min(Duration::from_secs(60)), ..*timings }
}
