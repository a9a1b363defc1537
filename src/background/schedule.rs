//! When the next pass of a task is due. Pure: randomness is an argument between 0 and 1.

use std::time::Duration;

use crate::kernel::Backoff;

/// The default timeout of a pass. A pass that takes longer hangs.
const TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// When the first pass of a task is due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum First {
    /// Immediately.
    AtOnce,
    /// After one period.
    AfterPeriod,
    /// After a random fraction of the period, up to this one, so that processes that start together do not run in step.
    Within(f64),
}

/// When the passes of a task are due.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    period: Duration,
    first: First,
    jitter: f64,
    fixed_rate: bool,
    retry: Option<Backoff>,
    timeout: Duration,
}

/// A finished pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passed {
    /// How long it took.
    pub(super) took: Duration,
    /// The number of failed passes since the last successful one, including this one.
    pub(super) failures: u32,
}

impl Schedule {
    /// A pass immediately, and then one each `period` after the end of the previous pass.
    pub const fn every(period: Duration) -> Self {
        Self { period, first: First::AtOnce, jitter: 0.0, fixed_rate: false, retry: None, timeout: TIMEOUT }
    }

    /// Sets when the first pass is due.
    pub const fn first(self, first: First) -> Self {
        Self { first, ..self }
    }

    /// Varies each wait randomly by up to this fraction, so that processes do not run in step.
    pub const fn jitter(self, part: f64) -> Self {
        Self { jitter: part, ..self }
    }

    /// Measures the period from the beginning of a pass, so that slow passes do not lower the rate.
    pub const fn at_fixed_rate(self) -> Self {
        Self { fixed_rate: true, ..self }
    }

    /// Sets the backoff after failed passes.
    pub const fn retry_after(self, retry: Backoff) -> Self {
        Self { retry: Some(retry), ..self }
    }

    /// Sets the timeout of one pass. A pass that exceeds it is dropped and counts as failed.
    pub const fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The period between passes.
    pub const fn period(&self) -> Duration {
        self.period
    }

    /// The timeout of one pass.
    pub const fn pass_timeout(&self) -> Duration {
        self.timeout
    }

    /// The wait before the first pass; `chance` is from 0 to 1.
    pub(super) fn before_first(&self, chance: f64) -> Duration {
        match self.first {
            First::AtOnce => Duration::ZERO,
            First::AfterPeriod => self.jittered(self.period, chance),
            First::Within(part) => self.period.mul_f64(part.max(0.0) * chance),
        }
    }

    /// The wait after a pass; `chance` is from 0 to 1.
    pub(super) fn after(&self, passed: Passed, chance: f64) -> Duration {
        if let Some(retry) = self.retry
            && passed.failures > 0
        {
            return retry.plain(passed.failures - 1).mul_f64(0.5 + chance / 2.0);
        }
        let wait = self.jittered(self.period, chance);
        if self.fixed_rate { wait.saturating_sub(passed.took) } else { wait }
    }

    fn jittered(&self, wait: Duration, chance: f64) -> Duration {
        wait.mul_f64((1.0 + self.jitter * (2.0 * chance - 1.0)).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn ended(took: u64, failures: u32) -> Passed {
        Passed { took: seconds(took), failures }
    }

    #[test]
    fn the_schedule_sets_the_time_of_the_first_pass() {
        let hourly = Schedule::every(seconds(3600));
        assert_eq!(hourly.before_first(0.9), Duration::ZERO);
        assert_eq!(hourly.first(First::AfterPeriod).before_first(0.9), seconds(3600));
        let within = hourly.first(First::Within(0.2));
        assert_eq!([0.0, 0.5, 1.0].map(|chance| within.before_first(chance)), [0, 360, 720].map(seconds));
    }

    #[test]
    fn jitter_varies_the_wait_around_the_period() {
        let schedule = Schedule::every(seconds(10)).jitter(0.2);
        assert_eq!([0.0, 0.5, 1.0].map(|chance| schedule.after(ended(3, 0), chance)), [8, 10, 12].map(seconds));
        assert_eq!(Schedule::every(seconds(10)).after(ended(3, 0), 0.9), seconds(10), "no jitter");
    }

    #[test]
    fn a_fixed_rate_counts_from_the_beginning_of_a_pass() {
        let fixed_rate = Schedule::every(seconds(10)).at_fixed_rate();
        assert_eq!([0, 3, 10, 60].map(|took| fixed_rate.after(ended(took, 0), 0.5)), [10, 7, 0, 0].map(seconds));
    }

    #[test]
    fn consecutive_failures_use_the_backoff_of_the_schedule() {
        let plain = Schedule::every(seconds(5));
        assert_eq!(plain.after(ended(0, 7), 0.5), seconds(5));
        let retrying = plain.retry_after(Backoff::new(seconds(1), seconds(3)));
        assert_eq!(
            [0, 1, 2, 3, 9].map(|failures| retrying.after(ended(0, failures), 1.0)),
            [5, 1, 2, 3, 3].map(seconds)
        );
        assert_eq!(retrying.after(ended(0, 2), 0.0), seconds(1), "at least half of the wait");
    }
}
