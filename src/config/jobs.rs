//! The times of the job runtime, and which of them cannot go together.

use std::time::Duration;

use super::key::{Key, keys};
use super::reader::{Noted, Reader, Settings};
use super::redis::REDIS_RESPONSE_TIMEOUT_MS;

keys! { "Jobs";
    /// How long a worker owns an operation without renewing.
    JOB_LEASE_MS = Key::default("JOB_LEASE_MS", "60000").number(200..=3_600_000);
    /// How often a worker renews. Less than half the lease, so that one lost renewal costs nothing.
    JOB_RENEW_MS = Key::default("JOB_RENEW_MS", "15000").number(50..=600_000);
    /// How often a worker looks for due operations that nobody was told of.
    JOB_SWEEP_MS = Key::default("JOB_SWEEP_MS", "1000").number(50..=60_000);
    /// How often a worker hands on what a vanished one had received.
    JOB_REAP_MS = Key::default("JOB_REAP_MS", "10000").number(50..=600_000);
    /// How long a stopping worker waits for its running operations.
    JOB_DRAIN_MS = Key::default("JOB_DRAIN_MS", "30000").number(0..=3_600_000);
    /// How long a worker blocks on its queue before it looks around.
    JOB_BLOCK_MS = Key::default("JOB_BLOCK_MS", "2000").number(10..=2000);
}

/// The times of the job runtime.
#[derive(Clone, Copy, Debug)]
pub struct JobsConfig {
    /// How long a worker owns an operation without renewing.
    pub lease: Duration,
    /// From one renewal to the next.
    pub renew: Duration,
    /// From one sweep to the next.
    pub sweep: Duration,
    /// From one reaping to the next.
    pub reap: Duration,
    /// How long a stopping worker waits.
    pub drain: Duration,
    /// How long a worker blocks on its queue.
    pub block: Duration,
}

impl Settings for JobsConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Noted> {
        let lease = env.millis(&JOB_LEASE_MS);
        let renew = env.millis(&JOB_RENEW_MS);
        let sweep = env.millis(&JOB_SWEEP_MS);
        let reap = env.millis(&JOB_REAP_MS);
        let drain = env.millis(&JOB_DRAIN_MS);
        let block = env.millis(&JOB_BLOCK_MS);
        let response = env.millis(&REDIS_RESPONSE_TIMEOUT_MS);
        let (lease, renew, block) = (lease?, renew?, block?);
        if renew * 2 >= lease {
            env.impossible(&[&JOB_RENEW_MS, &JOB_LEASE_MS], "a lease must outlast two renewals");
        }
        if response? < block {
            let why = "a client that gives up before the blocking command ends loses what the server hands it";
            env.impossible(&[&REDIS_RESPONSE_TIMEOUT_MS, &JOB_BLOCK_MS], why);
        }
        Ok(Self { lease, renew, sweep: sweep?, reap: reap?, drain: drain?, block })
    }
}
