//! The rules of an operation's life: who may claim it, what its owner may write, and how it ends. Pure.
//!
//! The statements in `rows/` and in `operations/cancel.rs` implement the same rules in SQL. `tests/stores/lifecycle.rs`
//! runs them on every combination of columns and compares the results; the model in `model/` uses these functions for
//! its transitions. A rule that is changed in one place only fails one of the two.

use std::time::Duration;

use crate::db::entities::operation::{self, Cleanup, OperationState, UndoState};
use crate::kernel::{Backoff, Timestamp};

use super::deadlines::{ClaimPurpose, Deadlines};
use super::end::End;
use super::job::{CrashPolicy, UndoEnd};

/// The number of vanished owners after which an operation is not started again (docs/contracts/jobs.md 2b.8, poison).
pub const MAX_CRASHES: i32 = 3;

/// The number of vanished owners and failed attempts after which an undo is held for an operator.
pub const UNDO_ATTEMPTS: i32 = 10;

/// The longest wait of an operation for its next run.
pub const LONGEST_WAIT: Duration = Duration::from_secs(366 * 24 * 3600);

/// The backoff between attempts to undo.
const UNDO_BACKOFF: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(600));

/// The state of an owner's lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeaseState {
    /// There is no owner.
    None,
    /// The owner may write.
    Valid,
    /// The operation may be recovered from its owner.
    Expired,
}

/// How long an owner has been at work, relative to the deadlines of the kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Elapsed {
    /// There is no owner, or its deadline has not passed.
    InTime,
    /// The owner is asked to stop.
    Overdue,
    /// The owner counts as vanished.
    Overrun,
}

/// The steps that an operation has begun, according to its journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Footprint {
    /// None.
    None,
    /// Only steps that change our own database.
    Internal,
    /// At least one step with an external effect.
    External,
}

/// The columns of an operation that the rules read, at one point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationFacts {
    /// The state of the operation.
    pub state: OperationState,
    /// Whether effects of an interrupted run have to be undone.
    pub unwind: UndoState,
    /// Whether debts of it are open.
    pub cleanup: Cleanup,
    /// Whether its start time has come.
    pub due: bool,
    /// The lease of its owner.
    pub lease: LeaseState,
    /// How long its owner has been at work, relative to its deadlines.
    pub elapsed: Elapsed,
    /// The fence of the current owner.
    pub fence: i64,
    /// The number of its starts.
    pub starts: i32,
    /// The maximum number of starts.
    pub max_starts: i32,
    /// The number of owners that vanished.
    pub crashes: i32,
    /// Whether it was asked to stop.
    pub cancel_requested: bool,
    /// Whether it has committed: it is never undone.
    pub committed: bool,
}

impl OperationFacts {
    /// The facts of `row` at `now`, which is a time of the database.
    pub fn of(row: &operation::Model, deadlines: &Deadlines, grace: Duration, now: Timestamp) -> Self {
        let lease = match row.lease_until {
            None => LeaseState::None,
            Some(until) if until > now => LeaseState::Valid,
            Some(_) => LeaseState::Expired,
        };
        Self {
            state: row.state,
            unwind: row.unwind,
            cleanup: row.cleanup,
            due: row.run_after <= now,
            lease,
            elapsed: elapsed(row, deadlines, grace, now),
            fence: row.fence,
            starts: row.starts,
            max_starts: row.max_starts,
            crashes: row.crashes,
            cancel_requested: row.cancel_requested,
            committed: row.committed,
        }
    }

    /// Whether a worker owns it.
    pub fn in_progress(&self) -> bool {
        self.state == OperationState::Running || self.unwind == UndoState::Running
    }

    /// Whether an owner with `fence` may renew its lease, end the operation or hand it back.
    pub fn is_owned_by(&self, fence: i64) -> bool {
        self.fence == fence && self.in_progress()
    }

    /// Whether an owner with `fence` may write a step. The lease must be valid, because this is the last chance to
    /// notice a lost lease before the effect.
    pub fn may_write_step(&self, fence: i64) -> bool {
        self.is_owned_by(fence) && self.lease == LeaseState::Valid
    }

    /// Whether the owner counts as vanished.
    pub fn is_abandoned(&self) -> bool {
        self.in_progress() && (self.lease == LeaseState::Expired || self.elapsed == Elapsed::Overrun)
    }

    /// Whether the owner has to stop at the next step boundary.
    pub fn is_overdue(&self) -> bool {
        self.in_progress() && self.elapsed != Elapsed::InTime
    }

    /// Whether it may be claimed once it is due and its queue is not paused.
    pub fn is_startable(&self) -> bool {
        let run = self.state == OperationState::Queued && self.starts < self.max_starts;
        run || self.unwind == UndoState::Due
    }

    /// Whether a sweep of everything puts it on the ready list.
    pub fn is_offered(&self, paused: bool) -> bool {
        self.is_startable() && self.due && !paused
    }

    /// The purpose of a claim now; `None` if a claim is refused.
    pub fn claimable(&self, paused: bool) -> Option<ClaimPurpose> {
        if paused || !self.due {
            return None;
        }
        if self.state == OperationState::Queued && self.starts < self.max_starts {
            return Some(ClaimPurpose::Run);
        }
        (self.state.is_ended() && self.unwind == UndoState::Due).then_some(ClaimPurpose::Undo)
    }

    /// The facts after a claim.
    #[must_use]
    pub fn claimed(self, purpose: ClaimPurpose) -> Self {
        let owned = Self { fence: self.fence + 1, lease: LeaseState::Valid, elapsed: Elapsed::InTime, ..self };
        match purpose {
            ClaimPurpose::Run => Self { state: OperationState::Running, starts: self.starts + 1, ..owned },
            ClaimPurpose::Undo => Self { unwind: UndoState::Running, ..owned },
        }
    }

    /// The facts after its owner wrote `end`.
    #[must_use]
    pub fn finished(self, end: &End) -> Self {
        let released = Self { lease: LeaseState::None, elapsed: Elapsed::InTime, ..self };
        match end {
            End::HandedBack => Self { state: OperationState::Queued, starts: self.starts - 1, ..released },
            End::Again { after } => {
                let due = wait_until_again(self.cancel_requested, *after).is_zero();
                Self { state: OperationState::Queued, starts: self.starts - 1, crashes: 0, due, ..released }
            }
            End::Ended { state, undo, .. } => {
                let (unwind, cleanup, wait) = aftermath(undo, 0);
                Self { state: *state, unwind, cleanup, crashes: 0, due: wait.is_zero(), ..released }
            }
            End::Undone(undo) => {
                let crashes = undo_attempts(self.crashes, undo);
                let (unwind, cleanup, wait) = aftermath(undo, crashes);
                Self { unwind, cleanup, crashes, due: wait.is_zero(), ..released }
            }
        }
    }

    /// The facts after `recovery`; `undo_stale` as in [`JobSettings`](super::JobSettings).
    #[must_use]
    pub fn recovered(self, recovery: Recovery, footprint: Footprint, undo_stale: bool) -> Self {
        let fenced = Self { fence: self.fence + 1, lease: LeaseState::None, elapsed: Elapsed::InTime, ..self };
        let crashes = self.crashes + 1;
        match recovery {
            Recovery::Requeue => {
                Self { state: OperationState::Queued, starts: self.starts - 1, crashes, due: false, ..fenced }
            }
            Recovery::Fail => {
                let (unwind, cleanup) = (UndoState::None, Cleanup::None);
                Self { state: OperationState::Failed, unwind, cleanup, crashes: 0, due: true, ..fenced }
            }
            Recovery::FailAndUndo => {
                let (unwind, cleanup) = (UndoState::Due, Cleanup::Pending);
                Self { state: OperationState::Failed, unwind, cleanup, crashes: 0, due: true, ..fenced }
            }
            Recovery::Stale => {
                let (unwind, cleanup) = remains(footprint, undo_stale);
                Self { state: OperationState::Stale, unwind, cleanup, crashes: 0, due: true, ..fenced }
            }
            Recovery::UndoAgain => Self { unwind: UndoState::Due, crashes, due: false, ..fenced },
            Recovery::Hold => Self { unwind: UndoState::Held, cleanup: Cleanup::Required, ..fenced },
        }
    }

    /// The facts after a request to cancel; `None` if it has ended already or committed. A queued operation ends
    /// immediately, and what it has begun is undone.
    pub fn cancelled(self, footprint: Footprint) -> Option<Self> {
        if self.committed {
            return None;
        }
        let asked = Self { cancel_requested: true, ..self };
        match self.state {
            OperationState::Queued => {
                let (unwind, cleanup) = remains(footprint, true);
                // The undo does not wait for the start time of the run.
                Some(Self { state: OperationState::Cancelled, unwind, cleanup, due: true, ..asked })
            }
            OperationState::Running => Some(asked),
            OperationState::Succeeded | OperationState::Failed | OperationState::Cancelled | OperationState::Stale => {
                None
            }
        }
    }
}

fn elapsed(row: &operation::Model, deadlines: &Deadlines, grace: Duration, now: Timestamp) -> Elapsed {
    let Some(claimed) = row.claimed_at else { return Elapsed::InTime };
    let purpose = if row.unwind == UndoState::Running { ClaimPurpose::Undo } else { ClaimPurpose::Run };
    match now.since(claimed) {
        at_work if at_work > deadlines.fence_after(purpose, grace) => Elapsed::Overrun,
        at_work if at_work > deadlines.stop_after(purpose) => Elapsed::Overdue,
        _ => Elapsed::InTime,
    }
}

/// The wait of an operation that ended as "again". If it was asked to stop meanwhile, it runs again immediately, so
/// that its job can stop it.
pub fn wait_until_again(cancel_requested: bool, after: Duration) -> Duration {
    if cancel_requested { Duration::ZERO } else { after.min(LONGEST_WAIT) }
}

/// What happens to an operation whose job did not report its end: its owner vanished, or the job panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// It is queued again; the lost start does not count.
    Requeue,
    /// It ends as failed, with nothing to undo.
    Fail,
    /// It ends as failed; a worker undoes its changes in our own database.
    FailAndUndo,
    /// It becomes stale: it never runs again, and a worker undoes its effects.
    Stale,
    /// Its undo is retried later.
    UndoAgain,
    /// Its undo failed too often and is held for an operator.
    Hold,
}

/// Decides what happens to an operation whose owner vanished (docs/contracts/jobs.md 2b.8).
pub fn decide(facts: &OperationFacts, policy: CrashPolicy, footprint: Footprint) -> Recovery {
    let crashes = facts.crashes + 1;
    if facts.unwind == UndoState::Running {
        return if crashes >= UNDO_ATTEMPTS { Recovery::Hold } else { Recovery::UndoAgain };
    }
    match policy {
        _ if facts.committed && crashes >= MAX_CRASHES => Recovery::Fail,
        _ if facts.committed => Recovery::Requeue,
        _ if crashes >= MAX_CRASHES => Recovery::Stale,
        CrashPolicy::UndoExternalEffects if footprint == Footprint::External => Recovery::Stale,
        CrashPolicy::Resume | CrashPolicy::UndoExternalEffects => Recovery::Requeue,
    }
}

/// Decides what happens to an operation whose job panicked. A panic is a defect that another run would probably hit
/// again, so the operation ends immediately and never runs again. An undo that panics is retried like any other that
/// fails.
pub fn decide_panic(facts: &OperationFacts, policy: CrashPolicy, footprint: Footprint) -> Recovery {
    if facts.unwind == UndoState::Running {
        return decide(facts, policy, footprint);
    }
    if facts.committed {
        return Recovery::Fail;
    }
    match (policy, footprint) {
        (CrashPolicy::Resume, _) | (CrashPolicy::UndoExternalEffects, Footprint::None) => Recovery::Fail,
        (CrashPolicy::UndoExternalEffects, Footprint::Internal) => Recovery::FailAndUndo,
        (CrashPolicy::UndoExternalEffects, Footprint::External) => Recovery::Stale,
    }
}

/// The `unwind` and `cleanup` columns of an operation that ends without its owner. Changes in our own database are
/// always undone; external effects wait for an operator unless `undo_stale` lets workers undo them.
pub fn remains(footprint: Footprint, undo_stale: bool) -> (UndoState, Cleanup) {
    match footprint {
        Footprint::None => (UndoState::None, Cleanup::None),
        Footprint::External if !undo_stale => (UndoState::Held, Cleanup::Required),
        Footprint::Internal | Footprint::External => (UndoState::Due, Cleanup::Pending),
    }
}

/// The number of attempts to undo, after one more that ended as `undo`.
pub fn undo_attempts(crashes: i32, undo: &UndoEnd) -> i32 {
    crashes + i32::from(matches!(undo, UndoEnd::Incomplete { .. }))
}

/// The `unwind` and `cleanup` columns after an undo, and the wait before the next attempt.
pub fn aftermath(undo: &UndoEnd, attempts: i32) -> (UndoState, Cleanup, Duration) {
    match undo {
        UndoEnd::Nothing => (UndoState::None, Cleanup::None, Duration::ZERO),
        UndoEnd::Complete => (UndoState::Done, Cleanup::Done, Duration::ZERO),
        UndoEnd::Interrupted => (UndoState::Due, Cleanup::Pending, Duration::ZERO),
        UndoEnd::Incomplete { .. } if attempts >= UNDO_ATTEMPTS => (UndoState::Held, Cleanup::Required, Duration::ZERO),
        UndoEnd::Incomplete { .. } => {
            (UndoState::Due, Cleanup::Pending, UNDO_BACKOFF.plain(u32::try_from(attempts).unwrap_or(0)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(unwind: UndoState, crashes: i32) -> OperationFacts {
        OperationFacts {
            state: OperationState::Running,
            unwind,
            cleanup: Cleanup::None,
            due: true,
            lease: LeaseState::Expired,
            elapsed: Elapsed::InTime,
            fence: 1,
            starts: 1,
            max_starts: 1,
            crashes,
            cancel_requested: false,
            committed: false,
        }
    }

    #[test]
    fn a_provision_with_external_effects_is_never_started_again() {
        let policy = CrashPolicy::UndoExternalEffects;
        let lost = running(UndoState::None, 0);
        assert_eq!(decide(&lost, policy, Footprint::External), Recovery::Stale);
        assert_eq!(decide(&lost, policy, Footprint::Internal), Recovery::Requeue);
    }

    #[test]
    fn an_operation_that_has_committed_continues_and_is_never_undone() {
        let policy = CrashPolicy::UndoExternalEffects;
        for footprint in [Footprint::Internal, Footprint::External] {
            let committed = |crashes| OperationFacts { committed: true, ..running(UndoState::None, crashes) };
            assert_eq!(decide(&committed(0), policy, footprint), Recovery::Requeue);
            assert_eq!(decide(&committed(MAX_CRASHES - 1), policy, footprint), Recovery::Fail);
            assert_eq!(decide_panic(&committed(0), policy, footprint), Recovery::Fail);
            assert_eq!(committed(0).cancelled(footprint), None);
        }
    }

    #[test]
    fn an_operation_that_runs_again_keeps_its_starts_and_waits_unless_it_was_asked_to_stop() {
        let end = End::Again { after: Duration::from_secs(3600) };
        let again = running(UndoState::None, 2).finished(&end);
        assert_eq!(
            (again.state, again.starts, again.crashes, again.lease),
            (OperationState::Queued, 0, 0, LeaseState::None)
        );
        assert_eq!(again.claimable(false), None, "it is not due yet");
        assert_eq!(OperationFacts { due: true, ..again }.claimable(false), Some(ClaimPurpose::Run));
        let asked = OperationFacts { cancel_requested: true, ..running(UndoState::None, 0) }.finished(&end);
        assert_eq!(asked.claimable(false), Some(ClaimPurpose::Run), "its job has to stop it immediately");
        let cancelled = again.cancelled(Footprint::Internal).unwrap();
        assert_eq!(cancelled.claimable(false), Some(ClaimPurpose::Undo), "its undo is due immediately");
    }

    #[test]
    fn a_run_is_fenced_out_only_after_time_for_its_undo_and_an_undo_after_time_to_reach_a_boundary() {
        let [run, undo, grace] = [3600, 600, 120].map(Duration::from_secs);
        let both = Deadlines { run, undo };
        assert_eq!((both.stop_after(ClaimPurpose::Run), both.stop_after(ClaimPurpose::Undo)), (run, undo));
        assert_eq!(both.fence_after(ClaimPurpose::Run, grace), run + undo + grace);
        assert_eq!(both.fence_after(ClaimPurpose::Undo, grace), undo + grace);
        let forward = Deadlines::forward(run);
        assert_eq!(forward.fence_after(ClaimPurpose::Run, grace), run + grace);
    }

    #[test]
    fn an_owner_that_overran_its_deadline_counts_as_vanished_although_its_lease_is_valid() {
        let late = |elapsed| OperationFacts { lease: LeaseState::Valid, elapsed, ..running(UndoState::None, 0) };
        let judged = [Elapsed::InTime, Elapsed::Overdue, Elapsed::Overrun].map(late);
        assert_eq!(judged.map(|owner| owner.is_overdue()), [false, true, true]);
        assert_eq!(judged.map(|owner| owner.is_abandoned()), [false, false, true]);
        assert_eq!(
            judged[2].claimed(ClaimPurpose::Run).elapsed,
            Elapsed::InTime,
            "the deadline of the next owner starts with its claim"
        );
    }

    #[test]
    fn a_panic_ends_a_run_immediately_and_an_undo_is_retried() {
        let (resume, unwind) = (CrashPolicy::Resume, CrashPolicy::UndoExternalEffects);
        let run = running(UndoState::None, 0);
        let ends = [Footprint::None, Footprint::Internal, Footprint::External].map(|at| decide_panic(&run, unwind, at));
        assert_eq!(ends, [Recovery::Fail, Recovery::FailAndUndo, Recovery::Stale]);
        assert_eq!(decide_panic(&run, resume, Footprint::External), Recovery::Fail);
        let failed = run.recovered(Recovery::Fail, Footprint::External, false);
        assert_eq!((failed.state, failed.unwind, failed.fence), (OperationState::Failed, UndoState::None, 2));
        assert_eq!(failed.claimable(false), None, "it would panic again");
        assert_eq!(decide_panic(&running(UndoState::Running, 0), unwind, Footprint::External), Recovery::UndoAgain);
        assert_eq!(decide_panic(&running(UndoState::Running, 9), unwind, Footprint::External), Recovery::Hold);
    }

    #[test]
    fn runs_stop_after_three_crashes_and_undos_after_ten() {
        let policy = CrashPolicy::Resume;
        assert_eq!(decide(&running(UndoState::None, 2), policy, Footprint::None), Recovery::Stale);
        assert_eq!(decide(&running(UndoState::Running, 2), policy, Footprint::External), Recovery::UndoAgain);
        assert_eq!(decide(&running(UndoState::Running, 9), policy, Footprint::External), Recovery::Hold);
    }

    #[test]
    fn changes_in_our_database_are_undone_even_where_operators_undo_external_effects() {
        let stale = running(UndoState::None, 2).recovered(Recovery::Stale, Footprint::Internal, false);
        assert_eq!((stale.unwind, stale.cleanup), (UndoState::Due, Cleanup::Pending));
    }
}
