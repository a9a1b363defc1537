//! The timing of the job runtime, and the combinations that cannot work.

use std::time::Duration;

use super::key::{Key, keys};
use super::reader::{Reader, Reported, Settings};
use super::redis::REDIS_RESPONSE_TIMEOUT_MS;

keys! { "Jobs";
    /// How long a worker owns an operation without renewing its lease.
    JOB_LEASE_MS = Key::default("JOB_LEASE_MS", "60000").number(200..=3_600_000);
    /// How often a worker renews its leases. It must be less than half of `JOB_LEASE_MS`, so that one failed renewal
    /// does no harm.
    JOB_RENEW_MS = Key::default("JOB_RENEW_MS", "15000").number(50..=600_000);
    /// How often a worker looks for due operations that were not offered.
    JOB_SWEEP_MS = Key::default("JOB_SWEEP_MS", "1000").number(50..=60_000);
    /// How often a worker looks for ids that a dead worker had received, and offers them again.
    JOB_REAP_MS = Key::default("JOB_REAP_MS", "10000").number(50..=600_000);
    /// How long a stopping worker waits for its running operations.
    JOB_DRAIN_MS = Key::default("JOB_DRAIN_MS", "30000").number(0..=3_600_000);
    /// How long a worker blocks on its queue before it checks whether it should stop.
    JOB_BLOCK_MS = Key::default("JOB_BLOCK_MS", "2000").number(10..=2000);
}

/// The timing of the job runtime.
#[derive(Clone, Copy, Debug)]
pub struct JobsConfig {
    /// How long a worker owns an operation without renewing its lease.
    pub lease: Duration,
    /// The time between two renewals.
    pub renew: Duration,
    /// The time between two sweeps.
    pub sweep: Duration,
    /// The time between two runs of the reaper.
    pub reap: Duration,
    /// How long a stopping worker waits for its running operations.
    pub drain: Duration,
    /// How long a worker blocks on its queue.
    pub block: Duration,
}

impl Settings for JobsConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let lease = env.millis(&JOB_LEASE_MS);
        let renew = env.millis(&JOB_RENEW_MS);
        let sweep = env.millis(&JOB_SWEEP_MS);
        let reap = env.millis(&JOB_REAP_MS);
        let drain = env.millis(&JOB_DRAIN_MS);
        let block = env.millis(&JOB_BLOCK_MS);
        let response = env.millis(&REDIS_RESPONSE_TIMEOUT_MS);
        let (lease, renew, block) = (lease?, renew?, block?);
        if renew * 2 >= lease {
            env.impossible(&[&JOB_RENEW_MS, &JOB_LEASE_MS], "the lease must be longer than two renewal intervals");
        }
        if response? < block {
            let why = "a client that times out before the blocking command ends loses the id that Redis then hands it";
            env.impossible(&[&REDIS_RESPONSE_TIMEOUT_MS, &JOB_BLOCK_MS], why);
        }
        Ok(Self { lease, renew, sweep: sweep?, reap: reap?, drain: drain?, block })
    }
}
