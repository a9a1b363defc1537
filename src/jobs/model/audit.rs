//! What a single transition may never do. Judged from the states before and after it and by docs/contracts/jobs.md
//! alone: none of the rules under test is asked.

use crate::db::entities::operation::{OperationState, Unwind};
use crate::db::entities::operation_step::StepStatus;
use crate::jobs::job::CrashPolicy;

use super::Scope;
use super::action::Action;
use super::world::{At, OPERATIONS, Operation, World};

pub(super) const I3: u16 = 1 << 3;
pub(super) const I4: u16 = 1 << 4;
pub(super) const I5: u16 = 1 << 5;
pub(super) const I6: u16 = 1 << 6;
pub(super) const I12: u16 = 1 << 12;

/// The invariants this transition breaks, a bit each.
pub(super) fn broken(scope: &Scope, before: &World, after: &World, action: Action) -> u16 {
    let mut broken = 0;
    for index in 0..OPERATIONS {
        let (old, new) = (&before.operations[index], &after.operations[index]);
        if regresses(old, new) {
            broken |= I4;
        }
        if let Action::Claim(_) | Action::ClaimReplyLost(_) = action
            && old.row != new.row
        {
            broken |= claim(scope.policies[index], before, old, new);
        }
        if scope.policies[index] == CrashPolicy::UnwindOutsideEffects && new.effects > 1 {
            broken |= I6;
        }
    }
    if let Some(worker) = actor(action) {
        let (was, is) = (&before.workers[worker], &after.workers[worker]);
        if let At::Owner { operation, fence, .. } | At::Leaving { operation, fence } = was.at {
            let (old, new) = (&before.operations[operation], &after.operations[operation]);
            let current = old.row.is_some_and(|row| row.fence == fence);
            // A write of an older owner changes nothing.
            if !current && (old.row, old.steps, old.slot) != (new.row, new.steps, new.slot) {
                broken |= I3;
            }
            // Neither does one in whose place nobody works any more.
            if !old.in_progress() && old.steps != new.steps {
                broken |= I3;
            }
            // The id leaves the list only when its owner has let go of the row.
            if is.list[operation] < was.list[operation] && current && old.in_progress() {
                broken |= I5;
            }
        }
    }
    broken
}

/// Whether the fence goes back, or what has ended does not stay so.
fn regresses(old: &Operation, new: &Operation) -> bool {
    let (Some(old), Some(new)) = (old.row, new.row) else { return old.row.is_some() };
    new.fence < old.fence || (old.state.is_ended() && new.state != old.state)
}

/// What a claim breaks that was won.
fn claim(policy: CrashPolicy, world: &World, old: &Operation, new: &Operation) -> u16 {
    let (Some(row), Some(won)) = (old.row, new.row) else { return I4 };
    let mut broken = 0;
    if won.fence <= row.fence || won.starts > won.max_starts {
        broken |= I4;
    }
    let runs = won.state == OperationState::Running;
    if world.paused || (runs && row.state == OperationState::Cancelled) {
        broken |= I12;
    }
    let unresolved = |(step, status): (usize, &Option<StepStatus>)| {
        super::world::is_outside(step)
            && matches!(status, Some(StepStatus::Started | StepStatus::Failed | StepStatus::UndoFailed))
    };
    let unresolved = old.steps.iter().enumerate().any(unresolved);
    if policy == CrashPolicy::UnwindOutsideEffects && runs && unresolved && won.unwind != Unwind::Running {
        broken |= I6;
    }
    broken
}

/// The worker that acts by itself.
fn actor(action: Action) -> Option<usize> {
    match action {
        Action::Intend(worker)
        | Action::Again(worker)
        | Action::CommitIntent(worker)
        | Action::IntentReplyLost(worker)
        | Action::Effect(worker)
        | Action::StepDone(worker)
        | Action::StepFails(worker)
        | Action::ObserveCancel(worker)
        | Action::ObserveDeadline(worker)
        | Action::UndoEffect(worker)
        | Action::UndoFails(worker)
        | Action::UndoWritten(worker)
        | Action::Finish(worker)
        | Action::FinishReplyLost(worker)
        | Action::Forget(worker)
        | Action::ForgetLost(worker)
        | Action::HandBack(worker)
        | Action::HandBackLost(worker)
        | Action::Renew(worker)
        | Action::NoticeLoss(worker)
        | Action::Drain(worker)
        | Action::Panics(worker) => Some(worker),
        _ => None,
    }
}
