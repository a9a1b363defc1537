//! The timing of a leader's lease.

use std::time::Duration;

use super::key::{Key, keys};
use super::reader::{Reader, Reported, Settings};

keys! { "Leader election";
    /// How long the lock of a leader lasts without renewal.
    LEASE_TTL_MS = Key::default("LEASE_TTL_MS", "15000").number(200..=600_000);
    /// How often a leader renews its lock. It must be less than half of `LEASE_TTL_MS`, so that one failed renewal does
    /// no harm.
    LEASE_RENEW_MS = Key::default("LEASE_RENEW_MS", "5000").number(50..=300_000);
    /// How often a candidate tries to become the leader.
    LEASE_RETRY_MS = Key::default("LEASE_RETRY_MS", "2000").number(50..=60_000);
    /// While Redis is unavailable: how old the leader's heartbeat in the database must be before another candidate
    /// takes over.
    LEASE_TAKEOVER_MS = Key::default("LEASE_TAKEOVER_MS", "60000").number(200..=3_600_000);
}

/// The timing of a leader's lease.
#[derive(Clone, Copy, Debug)]
pub struct LeaseConfig {
    /// How long the lock lasts without renewal.
    pub ttl: Duration,
    /// The time between two renewals.
    pub renew: Duration,
    /// The time between two attempts of a candidate.
    pub retry: Duration,
    /// The age of the leader's heartbeat in the database after which another candidate may take over.
    pub takeover: Duration,
}

impl Settings for LeaseConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let ttl = env.millis(&LEASE_TTL_MS);
        let renew = env.millis(&LEASE_RENEW_MS);
        let retry = env.millis(&LEASE_RETRY_MS);
        let takeover = env.millis(&LEASE_TAKEOVER_MS);
        let (ttl, renew, takeover) = (ttl?, renew?, takeover?);
        if renew * 2 >= ttl {
            env.impossible(&[&LEASE_RENEW_MS, &LEASE_TTL_MS], "the lock must last longer than two renewal intervals");
        }
        if takeover < ttl {
            let why = "the lock of a leader must have expired before others take over without Redis";
            env.impossible(&[&LEASE_TAKEOVER_MS, &LEASE_TTL_MS], why);
        }
        Ok(Self { ttl, renew, retry: retry?, takeover })
    }
}
