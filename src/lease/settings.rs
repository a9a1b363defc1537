//! The times of a lease.

use std::time::Duration;

/// The times of a lease. The defaults are those of docs/contracts/jobs.md 3.
#[derive(Clone, Copy, Debug)]
pub struct LeaseSettings {
    /// How long the lock outlives its last renewal.
    pub ttl: Duration,
    /// How often a leader renews it.
    pub renew: Duration,
    /// How often a candidate tries, before jitter.
    pub retry: Duration,
    /// While Redis does not answer: the age at which a leader's stamp in SQL is old.
    pub takeover: Duration,
    /// How long the tasks of a term may take to end after it.
    pub join: Duration,
}

impl LeaseSettings {
    /// How long before others may take over a leader stops by itself: 2 s of the usual 15.
    pub fn margin(&self) -> Duration {
        self.ttl * 2 / 15
    }

    /// How long a command to Redis may take: 2 s at most, and short enough for a second try within the lifetime.
    pub fn patience(&self) -> Duration {
        (self.ttl / 6).min(Duration::from_secs(2))
    }
}

impl Default for LeaseSettings {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(15),
            renew: Duration::from_secs(5),
            retry: Duration::from_secs(2),
            takeover: Duration::from_secs(60),
            join: Duration::from_secs(5),
        }
    }
}
