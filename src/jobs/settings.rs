//! The times and limits of a worker.

use std::time::Duration;

/// How a worker of one queue behaves. The defaults are those of docs/contracts/jobs.md 2b.
#[derive(Clone, Copy, Debug)]
pub struct JobSettings {
    /// How long an owner may go without renewing.
    pub lease: Duration,
    /// How often an owner renews.
    pub renew: Duration,
    /// How often due rows are offered again and expired leases are recovered.
    pub sweep: Duration,
    /// How often lists of dead workers are emptied.
    pub reap: Duration,
    /// After how long without a sign of life a worker counts as dead in Redis.
    pub worker_ttl: Duration,
    /// How long a worker waits for running jobs when it is told to stop.
    pub drain: Duration,
    /// How many operations of the queue run at a time over all workers; `None` for no common limit.
    pub slots: Option<u32>,
    /// How many operations this worker runs at a time.
    pub concurrency: u32,
    /// How long an owner whose deadline has passed may take to notice it and to come to a step boundary; then it counts as
    /// vanished. Longer than a renewal, by which it notices.
    pub grace: Duration,
    /// Whether a worker undoes what an interrupted operation left, or leaves it to an operator.
    pub unwind: bool,
}

impl JobSettings {
    /// An owner that has not renewed for this long stops by itself, before others may take over.
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
            unwind: true,
        }
    }
}
