//! When an agent is polled again. Pure; the bounds are a [`Pace`].
//!
//! A server with an unfinished operation counts as changing, and is polled in every pass.

use std::time::Duration;

use super::super::facts::{AgentHistory, PollerId};
use super::super::pace::Pace;
use crate::kernel::Timestamp;

/// When `me` has to poll an agent with `history`, whose server is `busy` with an operation or not; `None` if it never was
/// polled.
pub fn due_at(pace: Pace, history: Option<&AgentHistory>, me: PollerId, busy: bool) -> Option<Timestamp> {
    let AgentHistory { asked_at, asked_by, changed_at, .. } = history?;
    // A history of an older release does not say when the agent changed.
    let unchanged = changed_at.filter(|_| !busy).map_or(Duration::ZERO, |at| asked_at.since(at));
    Some(pace.due_at(*asked_at, pace.wait(unchanged), asked_by.is_some_and(|by| by != me)))
}

#[cfg(test)]
mod tests {
    use super::super::super::facts::CrashCount;
    use super::*;

    const ME: PollerId = PollerId(1);
    const PACE: Pace = Pace { fastest: Duration::from_secs(5), slowest: Duration::from_secs(30) };

    fn history(changed_at: Option<i64>, asked_at: i64) -> AgentHistory {
        AgentHistory {
            asked_at: Timestamp::from_millis(asked_at * 1000),
            seen_at: None,
            crashes: CrashCount::default(),
            changed_at: changed_at.map(|at| Timestamp::from_millis(at * 1000)),
            unanswered: 0,
            polls: 0,
            asked_by: Some(ME),
        }
    }

    #[test]
    fn an_agent_that_changed_or_has_an_operation_is_due_in_the_next_pass() {
        let due = |history: &AgentHistory, busy| due_at(PACE, Some(history), ME, busy).unwrap().millis();
        assert_eq!(due_at(PACE, None, ME, false), None);
        assert_eq!(due(&history(Some(100), 100), false), 102_000);
        assert_eq!(due(&history(Some(100), 500), false), 527_000);
        assert_eq!(due(&history(Some(100), 500), true), 502_000);
        assert_eq!(due(&history(None, 500), false), 502_000, "of an older release");
    }

    #[test]
    fn to_another_process_an_agent_is_due_an_interval_later() {
        let due = |asked_by, busy| {
            let history = AgentHistory { asked_by, ..history(Some(100), 500) };
            due_at(PACE, Some(&history), ME, busy).unwrap().millis()
        };
        assert_eq!(
            [due(Some(PollerId(2)), false), due(Some(ME), false), due(None, false)],
            [532_000, 527_000, 527_000]
        );
        assert_eq!([due(Some(PollerId(2)), true), due(Some(ME), true)], [507_000, 502_000]);
    }
}
