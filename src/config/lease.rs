//! The times of a lease that one process at a time holds.

use std::time::Duration;

use super::key::{Key, keys};
use super::reader::{Noted, Reader, Settings};

keys! { "Leader election";
    /// After how long without renewal the lock of a leader is free for others.
    LEASE_TTL_MS = Key::default("LEASE_TTL_MS", "15000").number(200..=600_000);
    /// How often a leader renews its lock. Less than half of `LEASE_TTL_MS`, so that one lost renewal costs nothing.
    LEASE_RENEW_MS = Key::default("LEASE_RENEW_MS", "5000").number(50..=300_000);
    /// How often a candidate tries to become the leader.
    LEASE_RETRY_MS = Key::default("LEASE_RETRY_MS", "2000").number(50..=60_000);
    /// While Redis is away: after how long without a sign of the leader in the database another takes over.
    LEASE_TAKEOVER_MS = Key::default("LEASE_TAKEOVER_MS", "60000").number(200..=3_600_000);
}

/// The times of a lease that one process at a time holds.
#[derive(Clone, Copy, Debug)]
pub struct LeaseConfig {
    /// How long the lock outlives its last renewal.
    pub ttl: Duration,
    /// From one renewal to the next.
    pub renew: Duration,
    /// From one attempt of a candidate to the next.
    pub retry: Duration,
    /// The age at which the sign of a leader in the database counts as old.
    pub takeover: Duration,
}

impl Settings for LeaseConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Noted> {
        let ttl = env.millis(&LEASE_TTL_MS);
        let renew = env.millis(&LEASE_RENEW_MS);
        let retry = env.millis(&LEASE_RETRY_MS);
        let takeover = env.millis(&LEASE_TAKEOVER_MS);
        let (ttl, renew, takeover) = (ttl?, renew?, takeover?);
        if renew * 2 >= ttl {
            env.impossible(&[&LEASE_RENEW_MS, &LEASE_TTL_MS], "a lock must outlast two renewals");
        }
        if takeover < ttl {
            let why = "the lock of a leader must be free before others take over without it";
            env.impossible(&[&LEASE_TAKEOVER_MS, &LEASE_TTL_MS], why);
        }
        Ok(Self { ttl, renew, retry: retry?, takeover })
    }
}
