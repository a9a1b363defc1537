//! How many calls may be made, and when none may (docs/contracts/edge.md A6). Time is an argument. Elsewhere: what
//! follows from a refused token (`breaker`).

use std::time::Duration;

use tokio::time::Instant;

/// Calls that may be made at once after an idle period.
const BURST: f64 = 50.0;
/// Calls a second; the server allows 1200 in 300 s.
const RATE: f64 = 3.5;
/// Calls that background work leaves to foreground work.
const RESERVE: f64 = 15.0;

/// Whether a call may be made now.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Turn {
    /// Now.
    Yours,
    /// Not before this time has passed.
    Wait(Duration),
    /// The server has asked for a pause; this much of it is left.
    Paused(Duration),
}

/// The budget of a process.
#[derive(Debug)]
pub(super) struct Budget {
    left: f64,
    at: Instant,
    paused_until: Option<Instant>,
}

impl Budget {
    /// A full budget.
    pub(super) fn new(now: Instant) -> Self {
        Self { left: BURST, at: now, paused_until: None }
    }

    /// Takes a call out of the budget, if one is available.
    pub(super) fn take(&mut self, now: Instant, background: bool) -> Turn {
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return Turn::Paused(until - now);
        }
        self.left = (self.left + now.saturating_duration_since(self.at).as_secs_f64() * RATE).min(BURST);
        self.at = now;
        let kept = if background { RESERVE } else { 0.0 };
        if self.left >= kept + 1.0 {
            self.left -= 1.0;
            Turn::Yours
        } else {
            Turn::Wait(Duration::from_secs_f64((kept + 1.0 - self.left) / RATE))
        }
    }

    /// The server has asked for a pause of `length`.
    pub(super) fn pause(&mut self, now: Instant, length: Duration) {
        self.paused_until = self.paused_until.max(Some(now + length));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_followed_by_a_steady_rate_below_the_servers() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let mut now = start;
        let mut calls = 0;
        while now < start + Duration::from_secs(300) {
            match budget.take(now, false) {
                Turn::Yours => calls += 1,
                Turn::Wait(wait) => now += wait.max(Duration::from_millis(1)),
                other @ Turn::Paused(_) => panic!("{other:?}"),
            }
        }
        assert!((1000..1200).contains(&calls), "{calls}");
    }

    #[test]
    fn background_work_leaves_a_reserve() {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        let calls = (0..100).take_while(|_| budget.take(now, true) == Turn::Yours).count();
        assert_eq!(calls, 35);
        assert_eq!(budget.take(now, false), Turn::Yours);
    }

    #[test]
    fn a_pause_applies_to_all_and_the_longer_one_counts() {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        budget.pause(now, Duration::from_secs(7));
        budget.pause(now, Duration::from_secs(3));
        assert_eq!(budget.take(now, false), Turn::Paused(Duration::from_secs(7)));
        assert_eq!(budget.take(now + Duration::from_secs(7), true), Turn::Yours);
    }
}
