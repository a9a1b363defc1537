//! Invariants of a single transition. They are checked on the states before and after it, as docs/contracts/jobs.md
//! defines them, without the rules under test.

use crate::db::entities::operation::{OperationState, UndoState};
use crate::db::entities::operation_step::StepStatus;
use crate::jobs::job::CrashPolicy;

use super::ModelSize;
use super::action::Action;
use super::world::{At, OPERATIONS, Operation, World};

pub(super) const I3: u16 = 1 << 3;
pub(super) const I4: u16 = 1 << 4;
pub(super) const I5: u16 = 1 << 5;
pub(super) const I6: u16 = 1 << 6;
pub(super) const I12: u16 = 1 << 12;
pub(super) const I16: u16 = 1;

/// The invariants that this transition breaks, as bits.
pub(super) fn broken(scope: &ModelSize, before: &World, after: &World, action: Action) -> u16 {
    let mut broken = 0;
    for index in 0..OPERATIONS {
        let (old, new) = (&before.operations[index], &after.operations[index]);
        if regresses(old, new) {
            broken |= I4;
        }
        if undoes_what_has_committed(old, new) {
            broken |= I16;
        }
        if let Action::Claim(_) | Action::ClaimReplyLost(_) = action
            && old.row != new.row
        {
            broken |= claim(scope.policies[index], before, old, new);
        }
        if scope.policies[index] == CrashPolicy::UndoExternalEffects && new.effects > 1 {
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
            // Neither does a write of an owner whose operation was recovered.
            if !old.in_progress() && old.steps != new.steps {
                broken |= I3;
            }
            // The id leaves the list only after its owner has released the row.
            if is.list[operation] < was.list[operation] && current && old.in_progress() {
                broken |= I5;
            }
        }
    }
    broken
}

/// Whether the fence decreases, or an ended operation leaves its end state.
fn regresses(old: &Operation, new: &Operation) -> bool {
    let (Some(old), Some(new)) = (old.row, new.row) else { return old.row.is_some() };
    new.fence < old.fence || (old.state.is_ended() && new.state != old.state)
}

/// Whether an operation that has committed ends as one that is undone.
fn undoes_what_has_committed(old: &Operation, new: &Operation) -> bool {
    let committed = old.row.is_some_and(|row| row.committed);
    committed
        && new.row.is_none_or(|row| {
            row.unwind != UndoState::None || matches!(row.state, OperationState::Stale | OperationState::Cancelled)
        })
}

/// The invariants that a successful claim breaks.
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
    if policy == CrashPolicy::UndoExternalEffects
        && runs
        && unresolved
        && !old.handed_back
        && won.unwind != UndoState::Running
    {
        broken |= I6;
    }
    broken
}

/// The worker that performs the action, if one does.
fn actor(action: Action) -> Option<usize> {
    match action {
        Action::Intend(worker)
        | Action::Again(worker)
        | Action::Commit(worker)
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
