//! Who may lead and until when. Moments are time since boot ([`crate::kernel::boottime`]), given as arguments.

use std::time::Duration;

use super::settings::LeaseSettings;

/// What came of trying to take the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LockAnswer {
    /// It is ours.
    Ours,
    /// Somebody else has it.
    Taken,
    /// Redis did not answer, so that nothing is known.
    Silence,
}

/// What a candidate does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CandidateStep {
    /// Raise the epoch it read before it took the lock.
    RaiseEpoch,
    /// Raise it without a lock, provided that the leader's stamp is still old.
    TakeOver,
    /// Try again later.
    Wait,
}

/// Decides what a candidate does after it has read the row and then tried to take the lock. `stamp` is the age of the
/// leader's stamp by the clock of the database, `None` when nobody leads.
pub(super) fn next_step(answer: LockAnswer, stamp: Option<Duration>, settings: &LeaseSettings) -> CandidateStep {
    match answer {
        LockAnswer::Ours => CandidateStep::RaiseEpoch,
        LockAnswer::Taken => CandidateStep::Wait,
        LockAnswer::Silence if stamp.is_none_or(|age| age > settings.takeover) => CandidateStep::TakeOver,
        LockAnswer::Silence => CandidateStep::Wait,
    }
}

/// What a leader's right to act is measured against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Basis {
    /// The lock: Redis answered last.
    Lock,
    /// The stamp: Redis did not answer.
    Stamp,
}

/// What a leader knows about its own right to act.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    renewed: Duration,
    stamped: Duration,
    basis: Basis,
}

impl Standing {
    /// Of a leader that raised the epoch by a statement sent at `stamped`, and has not renewed a lock yet.
    pub(super) const fn elected(stamped: Duration) -> Self {
        Self { renewed: stamped, stamped, basis: Basis::Stamp }
    }

    /// Redis confirmed the lock; the question was sent at `sent`.
    pub(super) fn renewed(&mut self, sent: Duration) {
        self.renewed = sent;
        self.basis = Basis::Lock;
    }

    /// Redis did not answer.
    pub(super) fn unanswered(&mut self) {
        self.basis = Basis::Stamp;
    }

    /// The database took our stamp; it was sent at `sent`.
    pub(super) fn stamped(&mut self, sent: Duration) {
        self.stamped = self.stamped.max(sent);
    }

    /// Until when the leader may act.
    pub(super) fn valid_until(&self, settings: &LeaseSettings) -> Duration {
        let until = match self.basis {
            Basis::Lock => self.renewed + settings.ttl,
            Basis::Stamp => self.stamped + settings.takeover,
        };
        until.saturating_sub(settings.margin())
    }

    /// Whether it may act at `now`.
    pub(super) fn is_valid(&self, now: Duration, settings: &LeaseSettings) -> bool {
        now < self.valid_until(settings)
    }

    /// Whether the stamp is so old that it is renewed in the middle of a long tick.
    pub(super) fn wants_stamp(&self, now: Duration, settings: &LeaseSettings) -> bool {
        now.saturating_sub(self.stamped) >= settings.takeover / 4
    }
}
