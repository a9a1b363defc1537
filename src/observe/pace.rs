//! How soon something that is observed again and again is due. Pure.
//!
//! What changed a moment ago is observed as often as possible, and what has been the same for a long time as rarely as is
//! allowed. The process that observed it last is preferred: to every other process it is due an interval later. So one
//! process observes it while that process lives, and another takes over soon after.

use std::time::Duration;

use crate::kernel::Timestamp;

/// The wait is this part of the time since the last change.
const PART: u32 = 4;

/// The part of an interval by which something is due earlier than planned.
const EARLY: f64 = 0.6;

/// The bounds of the wait between two observations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// After a change, and the time between two passes.
    pub fastest: Duration,
    /// While nothing changes.
    pub slowest: Duration,
}

impl Pace {
    /// How long to wait after an observation of something that has been the same for `unchanged`.
    pub fn wait(self, unchanged: Duration) -> Duration {
        (unchanged / PART).min(self.slowest).max(self.fastest)
    }

    /// When something that was observed at `asked_at` is due after `wait`; later if another process observed it.
    pub fn due_at(self, asked_at: Timestamp, wait: Duration, by_another: bool) -> Timestamp {
        let grace = if by_another { self.fastest } else { Duration::ZERO };
        // An observation begins up to half an interval after its pass, and must not be left to the pass after the next.
        asked_at.after((wait + grace).saturating_sub(self.fastest.mul_f64(EARLY)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_with_the_time_without_a_change() {
        let pace = Pace { fastest: Duration::from_secs(5), slowest: Duration::from_secs(30) };
        let wait = |unchanged| pace.wait(Duration::from_secs(unchanged)).as_secs();
        assert_eq!([0, 10, 20, 40, 80, 120, 99_999].map(wait), [5, 5, 5, 10, 20, 30, 30]);
    }

    #[test]
    fn an_observation_is_due_a_little_before_its_wait_is_over_and_later_for_another_process() {
        let pace = Pace { fastest: Duration::from_secs(5), slowest: Duration::from_secs(30) };
        let due = |wait, by_another| {
            let asked_at = Timestamp::from_millis(100_000);
            pace.due_at(asked_at, Duration::from_secs(wait), by_another).millis()
        };
        assert_eq!([due(5, false), due(30, false), due(30, true)], [102_000, 127_000, 132_000]);
    }
}
