//! A clock for durations: it never runs backwards, whatever happens to the system clock, and tests can move it.

use tokio::time::Instant;

use crate::kernel::{Clock, Timestamp};

/// Returns instants to which durations can be added.
#[derive(Debug)]
pub(super) struct Stopwatch {
    clock: Clock,
    begun: Instant,
    begun_at: Timestamp,
}

impl Stopwatch {
    /// Follows the monotonic clock of the machine, or `clock` if that is a fixed one.
    pub(super) fn of(clock: Clock) -> Self {
        let begun_at = clock.now();
        Self { clock, begun: Instant::now(), begun_at }
    }

    /// The current instant.
    pub(super) fn now(&self) -> Instant {
        match &self.clock {
            Clock::System => Instant::now(),
            Clock::Fixed(_) => self.begun + self.wall().since(self.begun_at),
        }
    }

    /// The current time of day.
    pub(super) fn wall(&self) -> Timestamp {
        self.clock.now()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_its_fixed_clock_moves_it() {
        let clock = Clock::fixed(Timestamp::from_millis(1_000));
        let watch = Stopwatch::of(clock.clone());
        let begun = watch.now();
        assert_eq!(watch.now(), begun);
        clock.advance(Duration::from_secs(7));
        assert_eq!((watch.now() - begun, watch.wall()), (Duration::from_secs(7), Timestamp::from_millis(8_000)));
    }
}
