//! The rate limit: a number of requests in a window, by the clock of the world; beyond it every call is refused until
//! the window ends.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::kernel::{Timestamp, text_enum};

text_enum! {
    /// How a refusal says when to retry.
    pub enum RetryAfter {
        /// In seconds, rounded up.
        Seconds = "seconds",
        /// As an HTTP date.
        Date = "date",
        /// Not at all, as sometimes happens.
        Absent = "absent",
    }
}

/// The limit; a field that is absent in a control request changes nothing.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Levers {
    pub(super) requests: Option<u32>,
    pub(super) window_seconds: Option<u32>,
    pub(super) retry_after: Option<RetryAfter>,
}

/// The window and how much of it is used.
#[derive(Debug)]
pub(super) struct Rate {
    requests: u32,
    window: Duration,
    pub(super) retry_after: RetryAfter,
    begun: Option<Timestamp>,
    used: u32,
}

/// What is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) limit: u32,
    pub(super) remaining: u32,
    pub(super) reset: Duration,
    pub(super) refused: bool,
}

impl Rate {
    /// 1200 requests in `window`.
    pub(super) fn new(window: Duration) -> Self {
        Self { requests: 1200, window, retry_after: RetryAfter::Seconds, begun: None, used: 0 }
    }

    /// Changes the limit and begins a new window.
    pub(super) fn set(&mut self, levers: &Levers) {
        self.requests = levers.requests.unwrap_or(self.requests);
        self.window = levers.window_seconds.map_or(self.window, |seconds| Duration::from_secs(seconds.into()));
        self.retry_after = levers.retry_after.unwrap_or(self.retry_after);
        (self.begun, self.used) = (None, 0);
    }

    /// Counts a request at `now`.
    pub(super) fn count(&mut self, now: Timestamp) -> Left {
        let begun = match self.begun {
            Some(begun) if now.since(begun) < self.window => begun,
            _ => {
                self.used = 0;
                now
            }
        };
        self.begun = Some(begun);
        self.used = self.used.saturating_add(1);
        Left {
            limit: self.requests,
            remaining: self.requests.saturating_sub(self.used),
            reset: self.window.saturating_sub(now.since(begun)),
            refused: self.used > self.requests,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_is_used_up_refuses_until_it_ends() {
        let mut rate = Rate::new(Duration::from_secs(300));
        rate.set(&Levers { requests: Some(2), ..Levers::default() });
        let at = |second: i64| Timestamp::from_millis(second * 1000);
        assert_eq!(
            [rate.count(at(0)).refused, rate.count(at(1)).refused, rate.count(at(2)).refused],
            [false, false, true]
        );
        let late = rate.count(at(299));
        assert_eq!((late.refused, late.reset), (true, Duration::from_secs(1)));
        assert!(!rate.count(at(300)).refused);
    }
}
