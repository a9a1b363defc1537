//! Timeouts, intervals and limits of a worker.

use std::time::Duration;

/// Timeouts, intervals and limits of a worker of one queue. The defaults are those of docs/contracts/jobs.md 2b.
#[derive(Clone, Copy, Debug)]
pub struct JobSettings {
    /// The duration of a lease after its last renewal.
    pub lease: Duration,
    /// How often an owner renews its leases.
    pub renew: Duration,
    /// How often the sweeper offers due rows and recovers operations with expired leases.
    pub sweep: Duration,
    /// How often the reaper empties the lists of dead workers.
    pub reap: Duration,
    /// The time after its last heartbeat after which a worker counts as dead in Redis.
    pub worker_ttl: Duration,
    /// How long a worker waits for running jobs when it stops.
    pub drain: Duration,
    /// How many operations of the queue may run at the same time in all workers together; `None` for no limit.
    pub slots: Option<u32>,
    /// How many operations this worker runs at the same time.
    pub concurrency: u32,
    /// How long an owner whose deadline has passed may take to notice it and to reach a step boundary before it counts
    /// as vanished. Longer than the interval of renewals, at which it notices.
    pub grace: Duration,
    /// Whether workers undo the external effects of stale operations; otherwise an operator has to.
    pub undo_stale: bool,
}

impl JobSettings {
    /// The time after its last renewal after which an owner stops on its own, before another may take over.
    pub fn self_fence(&self) -> Duration {
        self.lease.mul_f64(5.0 / 6.0)
    }
}

impl Default for JobSettings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(60),
            renew: Duration::from_secs(15),
            sweep: Duration::from_secs(1),
            reap: Duration::from_secs(10),
            worker_ttl: Duration::from_secs(15),
            drain: Duration::from_secs(30),
            slots: Some(1),
            concurrency: 1,
            grace: Duration::from_secs(120),
            undo_stale: true,
        }
    }
}
