//! The rules of an operation's life: who may claim it, what its owner may write, what becomes of it afterwards. Pure.
//!
//! The statements of `rows/` and of `operations/cancel.rs` say the same in SQL. `tests/stores/lifecycle.rs` runs them
//! on every combination of columns and compares; the model in `model/` takes these very functions for its transitions.
//! A rule that changes in one place only fails one of the two.

use std::time::Duration;

use crate::db::entities::operation::{self, Cleanup, OperationState, Unwind};
use crate::kernel::{Backoff, Timestamp};

use super::deadlines::{ClaimPurpose, Deadlines};
use super::end::End;
use super::job::{CrashPolicy, UnwindEnd};

/// After this many vanished owners an operation is not started again (docs/contracts/jobs.md 2b.8, poison).
pub const MAX_CRASHES: i32 = 3;

/// After this many vanished owners or failed attempts an undo waits for an operator.
pub const UNWIND_ATTEMPTS: i32 = 10;

/// The longest time an operation waits for its next run.
pub const LONGEST_WAIT: Duration = Duration::from_secs(366 * 24 * 3600);

/// The wait before an undo is tried again.
const UNWIND_BACKOFF: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(600));

/// Whether an owner's time runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lease {
    /// Nobody's.
    None,
    /// The owner may write.
    Alive,
    /// The owner may be recovered from.
    Expired,
}

/// How long an owner has been at work, by the deadlines of the kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Elapsed {
    /// There is no owner, or it has time left.
    InTime,
    /// It is asked to stop.
    Overdue,
    /// It counts as vanished.
    Overrun,
}

/// What an operation has begun, by its step log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Footprint {
    /// No step.
    None,
    /// Only steps that change our own records.
    Inside,
    /// A step that reaches outside.
    Outside,
}

/// The columns of an operation that the rules read, measured at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Standing {
    /// Where it stands.
    pub state: OperationState,
    /// Whether effects of an interrupted run still have to be undone.
    pub unwind: Unwind,
    /// What is left behind in the outside world.
    pub cleanup: Cleanup,
    /// Whether it may start by now.
    pub due: bool,
    /// The lease of its owner.
    pub lease: Lease,
    /// How long its owner has been at work.
    pub elapsed: Elapsed,
    /// Counts owners.
    pub fence: i64,
    /// How often it was started.
    pub starts: i32,
    /// How often it may be started.
    pub max_starts: i32,
    /// How often its owner vanished.
    pub crashes: i32,
    /// The user wants it to stop.
    pub cancel_requested: bool,
}

impl Standing {
    /// The standing of `row` at `now`, by the clock of the database.
    pub fn of(row: &operation::Model, deadlines: &Deadlines, grace: Duration, now: Timestamp) -> Self {
        let lease = match row.lease_until {
            None => Lease::None,
            Some(until) if until > now => Lease::Alive,
            Some(_) => Lease::Expired,
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
        }
    }

    /// Whether some worker is at work on it.
    pub fn in_progress(&self) -> bool {
        self.state == OperationState::Running || self.unwind == Unwind::Running
    }

    /// Whether an owner with `fence` may renew, end it or hand it back.
    pub fn is_owned_by(&self, fence: i64) -> bool {
        self.fence == fence && self.in_progress()
    }

    /// Whether an owner with `fence` may write a step: before the effect is the last moment to notice a lost lease.
    pub fn may_write_step(&self, fence: i64) -> bool {
        self.is_owned_by(fence) && self.lease == Lease::Alive
    }

    /// Whether the owner counts as vanished.
    pub fn is_abandoned(&self) -> bool {
        self.in_progress() && (self.lease == Lease::Expired || self.elapsed == Elapsed::Overrun)
    }

    /// Whether the owner is to stop at the next step boundary.
    pub fn is_overdue(&self) -> bool {
        self.in_progress() && self.elapsed != Elapsed::InTime
    }

    /// Whether nothing but time and the pause switch keep it from a claim.
    pub fn is_startable(&self) -> bool {
        let run = self.state == OperationState::Queued && self.starts < self.max_starts;
        run || self.unwind == Unwind::Due
    }

    /// Whether a sweep that offers everything puts it on the ready list.
    pub fn is_offered(&self, paused: bool) -> bool {
        self.is_startable() && self.due && !paused
    }

    /// What a claim would be for; `None` when it is refused.
    pub fn claimable(&self, paused: bool) -> Option<ClaimPurpose> {
        if paused || !self.due {
            return None;
        }
        if self.state == OperationState::Queued && self.starts < self.max_starts {
            return Some(ClaimPurpose::Run);
        }
        (self.state.is_ended() && self.unwind == Unwind::Due).then_some(ClaimPurpose::Unwind)
    }

    /// After a claim.
    #[must_use]
    pub fn claimed(self, purpose: ClaimPurpose) -> Self {
        let owned = Self { fence: self.fence + 1, lease: Lease::Alive, elapsed: Elapsed::InTime, ..self };
        match purpose {
            ClaimPurpose::Run => Self { state: OperationState::Running, starts: self.starts + 1, ..owned },
            ClaimPurpose::Unwind => Self { unwind: Unwind::Running, ..owned },
        }
    }

    /// After its owner wrote `end`.
    #[must_use]
    pub fn finished(self, end: &End) -> Self {
        let released = Self { lease: Lease::None, elapsed: Elapsed::InTime, ..self };
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
            End::Unwound(undo) => {
                let crashes = unwind_attempts(self.crashes, undo);
                let (unwind, cleanup, wait) = aftermath(undo, crashes);
                Self { unwind, cleanup, crashes, due: wait.is_zero(), ..released }
            }
        }
    }

    /// After `recovery`; `unwinding` as in `JobSettings::unwind`.
    #[must_use]
    pub fn recovered(self, recovery: Recovery, footprint: Footprint, unwinding: bool) -> Self {
        let fenced = Self { fence: self.fence + 1, lease: Lease::None, elapsed: Elapsed::InTime, ..self };
        let crashes = self.crashes + 1;
        match recovery {
            Recovery::Requeue => {
                Self { state: OperationState::Queued, starts: self.starts - 1, crashes, due: false, ..fenced }
            }
            Recovery::Fail => {
                let (unwind, cleanup) = (Unwind::None, Cleanup::None);
                Self { state: OperationState::Failed, unwind, cleanup, crashes: 0, due: true, ..fenced }
            }
            Recovery::FailAndUndo => {
                let (unwind, cleanup) = (Unwind::Due, Cleanup::Pending);
                Self { state: OperationState::Failed, unwind, cleanup, crashes: 0, due: true, ..fenced }
            }
            Recovery::Stale => {
                let (unwind, cleanup) = remains(footprint, unwinding);
                Self { state: OperationState::Stale, unwind, cleanup, crashes: 0, due: true, ..fenced }
            }
            Recovery::UnwindAgain => Self { unwind: Unwind::Due, crashes, due: false, ..fenced },
            Recovery::Hold => Self { unwind: Unwind::Held, cleanup: Cleanup::Required, ..fenced },
        }
    }

    /// After a request to cancel; `None` when it has ended. One that waits ends at once, and what it began is undone.
    pub fn cancelled(self, footprint: Footprint) -> Option<Self> {
        let asked = Self { cancel_requested: true, ..self };
        match self.state {
            OperationState::Queued => {
                let (unwind, cleanup) = remains(footprint, true);
                // The undo does not wait for the time of the run that it replaces.
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
    let purpose = if row.unwind == Unwind::Running { ClaimPurpose::Unwind } else { ClaimPurpose::Run };
    match now.since(claimed) {
        at_work if at_work > deadlines.fence_after(purpose, grace) => Elapsed::Overrun,
        at_work if at_work > deadlines.stop_after(purpose) => Elapsed::Overdue,
        _ => Elapsed::InTime,
    }
}

/// How long an operation that ended as "again" waits. One that was asked to stop meanwhile comes back at once, so that its
/// job stops it.
pub fn wait_until_again(cancel_requested: bool, after: Duration) -> Duration {
    if cancel_requested { Duration::ZERO } else { after.min(LONGEST_WAIT) }
}

/// What becomes of an operation whose job cannot say how it ended: its owner vanished, or it panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Queued again; the lost start does not count.
    Requeue,
    /// It failed, and there is nothing to undo.
    Fail,
    /// It failed; a worker undoes what it changed in our own records.
    FailAndUndo,
    /// It never runs again; a worker undoes what it left.
    Stale,
    /// Its undo goes on later.
    UnwindAgain,
    /// Its undo failed too often: an operator must decide.
    Hold,
}

/// What becomes of an operation whose owner vanished (docs/contracts/jobs.md 2b.8).
pub fn decide(standing: &Standing, policy: CrashPolicy, footprint: Footprint) -> Recovery {
    let crashes = standing.crashes + 1;
    if standing.unwind == Unwind::Running {
        return if crashes >= UNWIND_ATTEMPTS { Recovery::Hold } else { Recovery::UnwindAgain };
    }
    match policy {
        _ if crashes >= MAX_CRASHES => Recovery::Stale,
        CrashPolicy::UnwindOutsideEffects if footprint == Footprint::Outside => Recovery::Stale,
        CrashPolicy::Resume | CrashPolicy::UnwindOutsideEffects => Recovery::Requeue,
    }
}

/// What becomes of an operation whose job panicked. A panic is a defect, and another run would meet it again: the operation
/// ends at once, and never runs again. An undo is tried again like any that fails.
pub fn decide_panic(standing: &Standing, policy: CrashPolicy, footprint: Footprint) -> Recovery {
    if standing.unwind == Unwind::Running {
        return decide(standing, policy, footprint);
    }
    match (policy, footprint) {
        (CrashPolicy::Resume, _) | (CrashPolicy::UnwindOutsideEffects, Footprint::None) => Recovery::Fail,
        (CrashPolicy::UnwindOutsideEffects, Footprint::Inside) => Recovery::FailAndUndo,
        (CrashPolicy::UnwindOutsideEffects, Footprint::Outside) => Recovery::Stale,
    }
}

/// The `unwind` and `cleanup` columns of an operation that ends without its owner. What only touched our own records is
/// always undone; what reached outside waits for an operator when workers shall not unwind.
pub fn remains(footprint: Footprint, unwinding: bool) -> (Unwind, Cleanup) {
    match footprint {
        Footprint::None => (Unwind::None, Cleanup::None),
        Footprint::Outside if !unwinding => (Unwind::Held, Cleanup::Required),
        Footprint::Inside | Footprint::Outside => (Unwind::Due, Cleanup::Pending),
    }
}

/// How often an undo was tried, after one more that ended as `undo`.
pub fn unwind_attempts(crashes: i32, undo: &UnwindEnd) -> i32 {
    crashes + i32::from(matches!(undo, UnwindEnd::Incomplete { .. }))
}

/// The `unwind` and `cleanup` columns that follow from an undo, and when a worker shall look again.
pub fn aftermath(undo: &UnwindEnd, attempts: i32) -> (Unwind, Cleanup, Duration) {
    match undo {
        UnwindEnd::Nothing => (Unwind::None, Cleanup::None, Duration::ZERO),
        UnwindEnd::Complete => (Unwind::Done, Cleanup::Done, Duration::ZERO),
        UnwindEnd::Interrupted => (Unwind::Due, Cleanup::Pending, Duration::ZERO),
        UnwindEnd::Incomplete { .. } if attempts >= UNWIND_ATTEMPTS => {
            (Unwind::Held, Cleanup::Required, Duration::ZERO)
        }
        UnwindEnd::Incomplete { .. } => {
            (Unwind::Due, Cleanup::Pending, UNWIND_BACKOFF.plain(u32::try_from(attempts).unwrap_or(0)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(unwind: Unwind, crashes: i32) -> Standing {
        Standing {
            state: OperationState::Running,
            unwind,
            cleanup: Cleanup::None,
            due: true,
            lease: Lease::Expired,
            elapsed: Elapsed::InTime,
            fence: 1,
            starts: 1,
            max_starts: 1,
            crashes,
            cancel_requested: false,
        }
    }

    #[test]
    fn a_provision_that_reached_outside_is_never_started_again() {
        let policy = CrashPolicy::UnwindOutsideEffects;
        let lost = running(Unwind::None, 0);
        assert_eq!(decide(&lost, policy, Footprint::Outside), Recovery::Stale);
        assert_eq!(decide(&lost, policy, Footprint::Inside), Recovery::Requeue);
    }

    #[test]
    fn an_operation_that_runs_again_has_all_its_starts_and_waits_unless_it_was_asked_to_stop() {
        let end = End::Again { after: Duration::from_secs(3600) };
        let again = running(Unwind::None, 2).finished(&end);
        assert_eq!(
            (again.state, again.starts, again.crashes, again.lease),
            (OperationState::Queued, 0, 0, Lease::None)
        );
        assert_eq!(again.claimable(false), None, "not before its time");
        assert_eq!(Standing { due: true, ..again }.claimable(false), Some(ClaimPurpose::Run));
        let asked = Standing { cancel_requested: true, ..running(Unwind::None, 0) }.finished(&end);
        assert_eq!(asked.claimable(false), Some(ClaimPurpose::Run), "its job has to stop it now");
        let cancelled = again.cancelled(Footprint::Inside).unwrap();
        assert_eq!(cancelled.claimable(false), Some(ClaimPurpose::Unwind), "its undo waits for nothing");
    }

    #[test]
    fn a_run_has_time_to_undo_before_it_is_fenced_out_and_an_undo_to_come_to_a_boundary() {
        let [run, undo, grace] = [3600, 600, 120].map(Duration::from_secs);
        let both = Deadlines { run, undo };
        assert_eq!((both.stop_after(ClaimPurpose::Run), both.stop_after(ClaimPurpose::Unwind)), (run, undo));
        assert_eq!(both.fence_after(ClaimPurpose::Run, grace), run + undo + grace);
        assert_eq!(both.fence_after(ClaimPurpose::Unwind, grace), undo + grace);
        let forward = Deadlines::forward(run);
        assert_eq!(forward.fence_after(ClaimPurpose::Run, grace), run + grace);
    }

    #[test]
    fn an_owner_that_overran_its_deadline_counts_as_vanished_although_its_lease_lives() {
        let late = |elapsed| Standing { lease: Lease::Alive, elapsed, ..running(Unwind::None, 0) };
        let judged = [Elapsed::InTime, Elapsed::Overdue, Elapsed::Overrun].map(late);
        assert_eq!(judged.map(|owner| owner.is_overdue()), [false, true, true]);
        assert_eq!(judged.map(|owner| owner.is_abandoned()), [false, false, true]);
        assert_eq!(judged[2].claimed(ClaimPurpose::Run).elapsed, Elapsed::InTime, "the next owner has its own time");
    }

    #[test]
    fn a_panic_ends_a_run_at_once_and_an_undo_is_tried_again() {
        let (resume, unwind) = (CrashPolicy::Resume, CrashPolicy::UnwindOutsideEffects);
        let run = running(Unwind::None, 0);
        let ends = [Footprint::None, Footprint::Inside, Footprint::Outside].map(|at| decide_panic(&run, unwind, at));
        assert_eq!(ends, [Recovery::Fail, Recovery::FailAndUndo, Recovery::Stale]);
        assert_eq!(decide_panic(&run, resume, Footprint::Outside), Recovery::Fail);
        let failed = run.recovered(Recovery::Fail, Footprint::Outside, false);
        assert_eq!((failed.state, failed.unwind, failed.fence), (OperationState::Failed, Unwind::None, 2));
        assert_eq!(failed.claimable(false), None, "it would panic again");
        assert_eq!(decide_panic(&running(Unwind::Running, 0), unwind, Footprint::Outside), Recovery::UnwindAgain);
        assert_eq!(decide_panic(&running(Unwind::Running, 9), unwind, Footprint::Outside), Recovery::Hold);
    }

    #[test]
    fn poison_stops_after_three_crashes_and_an_undo_after_ten() {
        let policy = CrashPolicy::Resume;
        assert_eq!(decide(&running(Unwind::None, 2), policy, Footprint::None), Recovery::Stale);
        assert_eq!(decide(&running(Unwind::Running, 2), policy, Footprint::Outside), Recovery::UnwindAgain);
        assert_eq!(decide(&running(Unwind::Running, 9), policy, Footprint::Outside), Recovery::Hold);
    }

    #[test]
    fn poison_that_only_changed_our_records_is_undone_even_where_operators_unwind() {
        let stale = running(Unwind::None, 2).recovered(Recovery::Stale, Footprint::Inside, false);
        assert_eq!((stale.unwind, stale.cleanup), (Unwind::Due, Cleanup::Pending));
    }
}
