//! How long to wait before the next attempt.

use std::time::Duration;

/// Exponential backoff with full jitter: attempt `n` waits between half of and the whole of `base * 2^n`, at most
/// `max`.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The wait before the second attempt, before jitter.
    pub base: Duration,
    /// The longest wait.
    pub max: Duration,
}

impl Backoff {
    /// A schedule from `base` to `max`.
    pub const fn new(base: Duration, max: Duration) -> Self {
        Self { base, max }
    }

    /// The wait after `attempt` failures (0 = the first failure), without jitter.
    pub fn plain(&self, attempt: u32) -> Duration {
        let factor = 2u32.saturating_pow(attempt.min(30));
        self.base.saturating_mul(factor).min(self.max)
    }

    /// The wait after `attempt` failures with jitter, so that many clients do not retry at the same time.
    pub fn jittered(&self, attempt: u32) -> Duration {
        self.plain(attempt).mul_f64(rand::random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_to_its_maximum_and_stays_there() {
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        assert_eq!(backoff.plain(0), Duration::from_millis(50));
        assert_eq!(backoff.plain(3), Duration::from_millis(400));
        assert_eq!(backoff.plain(u32::MAX), Duration::from_secs(5));
        assert!(backoff.jittered(40) >= Duration::from_millis(2500));
    }
}
