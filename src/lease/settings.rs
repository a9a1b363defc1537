//! Timeouts and intervals of a lease.

use std::time::Duration;

/// Timeouts and intervals of a lease. The defaults are those of docs/contracts/jobs.md 3.
#[derive(Clone, Copy, Debug)]
pub struct LeaseSettings {
    /// The lifetime of the lock after its last renewal.
    pub ttl: Duration,
    /// How often a leader renews it.
    pub renew: Duration,
    /// How often a candidate tries, before jitter.
    pub retry: Duration,
    /// The age of the leader's heartbeat in SQL from which another candidate may take over while Redis does not answer.
    pub takeover: Duration,
    /// How long the tasks of a term may take to end after the term.
    pub join: Duration,
}

impl LeaseSettings {
    /// How long before others may take over the leader stops acting: 2 s of the default 15 s.
    pub fn margin(&self) -> Duration {
        self.ttl * 2 / 15
    }

    /// The timeout of a command to Redis: at most 2 s, and short enough for a second try within the lifetime of the
    /// lock.
    pub fn command_timeout(&self) -> Duration {
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
