//! Decides who may lead and until when. Times are measured since boot ([`crate::kernel::boottime`]) and given as
//! arguments.

use std::time::Duration;

use super::settings::LeaseSettings;

/// The result of trying to take the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LockAnswer {
    /// The lock is ours.
    Ours,
    /// Another candidate has it.
    Taken,
    /// Redis did not answer, so the state of the lock is unknown.
    NoAnswer,
}

/// The next step of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CandidateStep {
    /// Raise the epoch that it read before it took the lock.
    RaiseEpoch,
    /// Raise the epoch without a lock, provided that the leader's heartbeat is still too old.
    TakeOver,
    /// Try again later.
    Wait,
}

/// Decides what a candidate does after it has read the row and then tried to take the lock. `heartbeat_age` is the age of
/// the leader's heartbeat by the clock of the database, `None` without a leader.
pub(super) fn next_step(
    answer: LockAnswer,
    heartbeat_age: Option<Duration>,
    settings: &LeaseSettings,
) -> CandidateStep {
    match answer {
        LockAnswer::Ours => CandidateStep::RaiseEpoch,
        LockAnswer::Taken => CandidateStep::Wait,
        LockAnswer::NoAnswer if heartbeat_age.is_none_or(|age| age > settings.takeover) => CandidateStep::TakeOver,
        LockAnswer::NoAnswer => CandidateStep::Wait,
    }
}

/// What a leader's right to act is derived from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Basis {
    /// The lock: Redis answered the last command.
    Lock,
    /// The heartbeat: Redis did not answer.
    Heartbeat,
}

/// Until when a leader may act, as far as it knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validity {
    renewed: Duration,
    heartbeat_at: Duration,
    basis: Basis,
}

impl Validity {
    /// The validity for a leader that raised the epoch with a statement sent at `heartbeat_at`, and has not renewed the
    /// lock yet.
    pub(super) const fn elected(heartbeat_at: Duration) -> Self {
        Self { renewed: heartbeat_at, heartbeat_at, basis: Basis::Heartbeat }
    }

    /// Records that Redis confirmed the lock in reply to a command sent at `sent`.
    pub(super) fn renewed(&mut self, sent: Duration) {
        self.renewed = sent;
        self.basis = Basis::Lock;
    }

    /// Records that Redis did not answer.
    pub(super) fn unanswered(&mut self) {
        self.basis = Basis::Heartbeat;
    }

    /// Records that the database stored a heartbeat sent at `sent`.
    pub(super) fn heartbeat_written(&mut self, sent: Duration) {
        self.heartbeat_at = self.heartbeat_at.max(sent);
    }

    /// The time until which the leader may act.
    pub(super) fn valid_until(&self, settings: &LeaseSettings) -> Duration {
        let until = match self.basis {
            Basis::Lock => self.renewed + settings.ttl,
            Basis::Heartbeat => self.heartbeat_at + settings.takeover,
        };
        until.saturating_sub(settings.margin())
    }

    /// Whether the leader may act at `now`.
    pub(super) fn is_valid(&self, now: Duration, settings: &LeaseSettings) -> bool {
        now < self.valid_until(settings)
    }

    /// Whether the heartbeat is old enough that a long tick has to renew it.
    pub(super) fn wants_heartbeat(&self, now: Duration, settings: &LeaseSettings) -> bool {
        now.saturating_sub(self.heartbeat_at) >= settings.takeover / 4
    }
}
