//! When a task has its next pass. Pure: chance comes in as a number from 0 to 1.

use std::time::Duration;

use crate::kernel::Backoff;

/// The longest pass of a task that names no limit of its own. A pass that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// The first pass of a task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum First {
    /// At once.
    AtOnce,
    /// After one period.
    AfterPeriod,
    /// After a random part of the period, up to this one: processes that start together do not work together.
    Within(f64),
}

/// When a task has its passes.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    period: Duration,
    first: First,
    spread: f64,
    steady: bool,
    retry: Option<Backoff>,
    limit: Duration,
}

/// A pass that ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passed {
    /// How long it took.
    pub(super) took: Duration,
    /// How many passes have failed since one last succeeded, this one included.
    pub(super) failures: u32,
}

impl Schedule {
    /// A pass at once, and the next one `period` after the end of the one before.
    pub const fn every(period: Duration) -> Self {
        Self { period, first: First::AtOnce, spread: 0.0, steady: false, retry: None, limit: LIMIT }
    }

    /// Another time of the first pass.
    pub const fn first(self, first: First) -> Self {
        Self { first, ..self }
    }

    /// Makes each wait up to this part of it shorter or longer, so that processes do not work in step.
    pub const fn spread(self, part: f64) -> Self {
        Self { spread: part, ..self }
    }

    /// Measures the period from the beginning of a pass, so that slow passes are not rarer ones.
    pub const fn steady(self) -> Self {
        Self { steady: true, ..self }
    }

    /// Other waits after failed passes.
    pub const fn retrying(self, retry: Backoff) -> Self {
        Self { retry: Some(retry), ..self }
    }

    /// Another limit on the time of one pass; what takes longer is dropped and has failed.
    pub const fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// How often there is a pass.
    pub const fn period(&self) -> Duration {
        self.period
    }

    /// How long one pass may take.
    pub const fn limit(&self) -> Duration {
        self.limit
    }

    /// The wait before the first pass; `chance` is from 0 to 1.
    pub(super) fn before_first(&self, chance: f64) -> Duration {
        match self.first {
            First::AtOnce => Duration::ZERO,
            First::AfterPeriod => self.spread_out(self.period, chance),
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
        let wait = self.spread_out(self.period, chance);
        if self.steady { wait.saturating_sub(passed.took) } else { wait }
    }

    fn spread_out(&self, wait: Duration, chance: f64) -> Duration {
        wait.mul_f64((1.0 + self.spread * (2.0 * chance - 1.0)).max(0.0))
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
    fn the_first_pass_comes_when_the_schedule_says() {
        let hourly = Schedule::every(seconds(3600));
        assert_eq!(hourly.before_first(0.9), Duration::ZERO);
        assert_eq!(hourly.first(First::AfterPeriod).before_first(0.9), seconds(3600));
        let within = hourly.first(First::Within(0.2));
        assert_eq!([0.0, 0.5, 1.0].map(|chance| within.before_first(chance)), [0, 360, 720].map(seconds));
    }

    #[test]
    fn chance_spreads_the_waits_around_the_period() {
        let schedule = Schedule::every(seconds(10)).spread(0.2);
        assert_eq!([0.0, 0.5, 1.0].map(|chance| schedule.after(ended(3, 0), chance)), [8, 10, 12].map(seconds));
        assert_eq!(Schedule::every(seconds(10)).after(ended(3, 0), 0.9), seconds(10), "no spread, no chance");
    }

    #[test]
    fn a_steady_schedule_counts_from_the_beginning_of_a_pass() {
        let steady = Schedule::every(seconds(10)).steady();
        assert_eq!([0, 3, 10, 60].map(|took| steady.after(ended(took, 0), 0.5)), [10, 7, 0, 0].map(seconds));
    }

    #[test]
    fn failures_in_a_row_have_waits_of_their_own_where_the_schedule_says_so() {
        let plain = Schedule::every(seconds(5));
        assert_eq!(plain.after(ended(0, 7), 0.5), seconds(5));
        let retrying = plain.retrying(Backoff::new(seconds(1), seconds(3)));
        assert_eq!(
            [0, 1, 2, 3, 9].map(|failures| retrying.after(ended(0, failures), 1.0)),
            [5, 1, 2, 3, 3].map(seconds)
        );
        assert_eq!(retrying.after(ended(0, 2), 0.0), seconds(1), "half of the wait at least");
    }
}
