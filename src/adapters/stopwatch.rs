//! A clock for spans: it never runs backwards, whatever is done to the clock of the machine, and a test can move it.

use tokio::time::Instant;

use crate::kernel::{Clock, Timestamp};

/// Tells moments that spans are added to.
#[derive(Debug)]
pub(super) struct Stopwatch {
    clock: Clock,
    begun: Instant,
    begun_at: Timestamp,
}

impl Stopwatch {
    /// One that runs with the machine, or with `clock` if that is a fixed one.
    pub(super) fn of(clock: Clock) -> Self {
        let begun_at = clock.now();
        Self { clock, begun: Instant::now(), begun_at }
    }

    /// The current moment.
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
    fn a_fixed_clock_moves_it_and_nothing_else_does() {
        let clock = Clock::fixed(Timestamp::from_millis(1_000));
        let watch = Stopwatch::of(clock.clone());
        let begun = watch.now();
        assert_eq!(watch.now(), begun);
        clock.advance(Duration::from_secs(7));
        assert_eq!((watch.now() - begun, watch.wall()), (Duration::from_secs(7), Timestamp::from_millis(8_000)));
    }
}
