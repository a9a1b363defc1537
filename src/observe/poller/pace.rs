//! How soon an agent is polled again. Pure.
//!
//! A server that changed a moment ago is polled as often as possible, and one that has been the same for a long time as
//! rarely as is allowed. A server with an unfinished operation counts as changing: `round.rs` polls it in every pass.

use std::time::Duration;

use super::super::facts::AgentHistory;
use crate::kernel::Timestamp;

/// The wait is this part of the time since the last change.
const PART: u32 = 4;

/// The bounds of the wait between two polls of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// After a change, and the time between two passes.
    pub fastest: Duration,
    /// While nothing changes.
    pub slowest: Duration,
}

impl Pace {
    /// How long to wait after a poll at `now` that left `history`.
    pub fn wait(self, history: &AgentHistory, now: Timestamp) -> Duration {
        let unchanged = history.changed_at.map_or(Duration::ZERO, |at| now.since(at));
        (unchanged / PART).min(self.slowest).max(self.fastest)
    }

    /// When an agent with `history` is due; `None` if it never was polled.
    pub fn due_at(self, history: Option<&AgentHistory>) -> Option<Timestamp> {
        // A little earlier than planned, so that it is not left to the pass after that.
        history.map(|history| history.asked_at.after(self.wait(history, history.asked_at).mul_f64(0.9)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::facts::CrashCount;
    use super::*;

    const PACE: Pace = Pace { fastest: Duration::from_secs(5), slowest: Duration::from_secs(30) };

    fn history(changed_at: Option<i64>, asked_at: i64) -> AgentHistory {
        AgentHistory {
            asked_at: Timestamp::from_millis(asked_at * 1000),
            seen_at: None,
            crashes: CrashCount::default(),
            changed_at: changed_at.map(|at| Timestamp::from_millis(at * 1000)),
            unanswered: 0,
            polls: 0,
        }
    }

    #[test]
    fn the_wait_grows_with_the_time_without_a_change() {
        let wait =
            |since: i64| PACE.wait(&history(Some(100), 100), Timestamp::from_millis((100 + since) * 1000)).as_secs();
        assert_eq!([0, 10, 20, 40, 80, 120, 99_999].map(wait), [5, 5, 5, 10, 20, 30, 30]);
        assert_eq!(
            PACE.wait(&history(None, 100), Timestamp::from_millis(900_000)),
            PACE.fastest,
            "of an older release"
        );
    }

    #[test]
    fn an_agent_is_due_a_little_before_its_wait_is_over() {
        assert_eq!(PACE.due_at(None), None);
        assert_eq!(PACE.due_at(Some(&history(Some(100), 100))), Some(Timestamp::from_millis(104_500)));
        assert_eq!(PACE.due_at(Some(&history(Some(100), 500))), Some(Timestamp::from_millis(527_000)));
    }
}
