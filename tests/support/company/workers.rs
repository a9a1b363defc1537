//! Workers of a company, composed like those of `zpack worker`.

use std::sync::Arc;
use std::time::Duration;

use zpack::containers::ContainerTimings;
use zpack::jobs::{Failpoints, JobSettings, Lane, Queue, Registry, WorkerDeps};
use zpack::kernel::{Clock, VmId, WorkerId};
use zpack::provision::{ProvisionPolicy, Timings};
use zpack::roles::worker::{WorkerParts, host, provision};

use super::super::worker::{RunningWorker, renewer_connection};
use super::Company;

impl Company {
    /// Short intervals, but leases that a loaded machine does not lose: in one process no worker vanishes.
    pub fn settings() -> JobSettings {
        JobSettings {
            lease: Duration::from_secs(30),
            renew: Duration::from_secs(2),
            sweep: Duration::from_millis(100),
            reap: Duration::from_millis(500),
            worker_ttl: Duration::from_secs(1),
            drain: Duration::from_secs(10),
            slots: Some(1),
            concurrency: 1,
            grace: Duration::from_secs(60),
            undo_stale: true,
        }
    }

    /// The policy, with timings that fit the simulated world.
    pub fn policy(&self) -> ProvisionPolicy {
        ProvisionPolicy {
            game_vmids: "5000-5999".parse().unwrap(),
            dev_vmids: "6000-6999".parse().unwrap(),
            game_bridge: "vmbr3".to_owned(),
            dev_bridge: "vmbr2".to_owned(),
            templates: vec![VmId::new(9000).unwrap(), VmId::new(9001).unwrap()],
            only_node: None,
            public_ports: 50_000..=50_999,
            pool: Some("zpack".to_owned()),
            timings: Timings {
                container: ContainerTimings {
                    task_poll: Duration::from_millis(20),
                    task_timeout: Duration::from_secs(10),
                    away: Duration::from_secs(5),
                    absence: Duration::from_millis(300),
                },
                address_poll: Duration::from_millis(20),
                address_timeout: Duration::from_secs(10),
                agent_poll: Duration::from_millis(20),
                ready_timeout: Duration::from_secs(20),
            },
        }
    }

    /// The parts of its jobs. Teardown records a debt quickly when a peer does not answer.
    pub fn parts(&self) -> WorkerParts {
        let policy = self.policy();
        let timings = policy.timings.container;
        WorkerParts {
            db: self.db.db.clone(),
            clock: Clock::System,
            hypervisor: Arc::new(self.hypervisor()),
            agent: Arc::new(self.agents(Duration::from_secs(1))),
            publisher: self.publisher(),
            background: self.publisher(),
            policy,
            // Longer than a simulated shutdown, which takes four seconds of simulated time.
            stop_grace: Duration::from_secs(5),
            teardown_timings: ContainerTimings { task_timeout: Duration::from_secs(3), ..timings },
        }
    }

    /// Starts a worker of the provision queue.
    pub fn worker(&self, settings: JobSettings) -> RunningWorker {
        self.worker_under(self.policy(), settings)
    }

    /// Starts a worker with another policy.
    pub fn worker_under(&self, policy: ProvisionPolicy, settings: JobSettings) -> RunningWorker {
        self.work(provision::jobs(&WorkerParts { policy, ..self.parts() }).unwrap(), settings)
    }

    /// Starts a worker of the host queue.
    pub fn host_worker(&self) -> RunningWorker {
        self.host_worker_of(&self.parts())
    }

    /// Starts a worker with other parts.
    pub fn host_worker_of(&self, parts: &WorkerParts) -> RunningWorker {
        self.work(host::jobs(parts).unwrap(), Self::host_settings())
    }

    /// As [`settings`](Self::settings), for the host queue.
    pub fn host_settings() -> JobSettings {
        JobSettings { slots: None, concurrency: 8, ..Self::settings() }
    }

    /// Starts a worker that knows the jobs of `registry`.
    pub fn work(&self, registry: Registry, settings: JobSettings) -> RunningWorker {
        let queue = registry.queue();
        RunningWorker::start(WorkerDeps {
            lane: Lane {
                queue,
                worker: WorkerId::generate(),
                lists: self.lists.clone(),
                block: Duration::from_millis(500),
                metrics: self.metrics.jobs(queue.as_str()),
            },
            db: self.db.db.clone(),
            connect: renewer_connection(&self.db.url),
            registry,
            settings,
            clock: Clock::System,
            failpoints: Failpoints::default(),
        })
    }

    /// How many ids are on the ready list.
    pub async fn depth(&self) -> u64 {
        self.lists.depth(Queue::Provision).await.unwrap().ready
    }

    /// Whether a worker has a recent heartbeat.
    pub async fn living_workers(&self) -> bool {
        let mut connection = self.lists.connection();
        let time: (i64, i64) = redis::cmd("TIME").query_async(&mut connection).await.unwrap();
        let now = time.0 * 1000 + time.1 / 1000;
        let key = Queue::Provision.workers_key();
        let alive: usize =
            redis::cmd("ZCOUNT").arg(key).arg(now).arg("+inf").query_async(&mut connection).await.unwrap();
        alive > 0
    }
}
