//! The effect of an action on the state. `lifecycle` makes the decisions; this file defines the order of the steps.

use crate::db::entities::operation::OperationState;
use crate::db::entities::operation_step::StepStatus;
use crate::jobs::ClaimPurpose;
use crate::jobs::job::CrashPolicy;
use crate::jobs::lifecycle::{Elapsed, Footprint, LeaseState, OperationFacts, Recovery, decide, decide_panic};

use super::action::Action;
use super::audit;
use super::world::{At, Ending, OPERATIONS, Operation, Phase, UndoResult, Why, World, fresh, is_outside};
use super::{ModelSize, Weakness};

/// The state after `action`, with the invariants that the transition broke.
pub(super) fn next(scope: &ModelSize, before: &World, action: Action) -> World {
    let mut world = *before;
    if action.is_fault() {
        world.faults -= 1;
    }
    apply(scope, &mut world, action);
    world.broken |= audit::broken(scope, before, &world, action);
    // Workers are interchangeable: a state and its mirror image count as one.
    world.workers.sort_unstable();
    world
}

fn apply(scope: &ModelSize, world: &mut World, action: Action) {
    match action {
        Action::Insert(index) => {
            world.operations[index].row = Some(fresh(scope.policies[index]));
            world.operations[index].ring = true;
        }
        Action::Ring(index) => {
            world.operations[index].ring = false;
            world.ready[index] += 1;
        }
        Action::RingLost(index) => world.operations[index].ring = false,
        Action::Cancel(index) => {
            let operation = &mut world.operations[index];
            let footprint = operation.footprint();
            operation.cancel = false;
            operation.row = operation.row.and_then(|row| row.cancelled(footprint));
        }
        Action::Pause => {
            world.paused = true;
            world.pauses -= 1;
        }
        Action::Resume => world.paused = false,
        Action::Sweep(index) => world.ready[index] += 1,
        Action::Judge(index) => {
            let seen = world.operations[index].footprint() == Footprint::External;
            world.operations[index].judged = Some(seen);
        }
        Action::Recover(index) => recover(scope, &mut world.operations[index], scope.policies[index]),
        Action::Reap(index) => {
            world.orphaned[index] -= 1;
            world.ready[index] += 1;
        }
        Action::BackoffEnds(index) => change(world, index, |row| row.due = true),
        Action::LeaseEnds(index) | Action::Paused(index) => change(world, index, |row| row.lease = LeaseState::Expired),
        Action::DeadlinePasses(index) => change(world, index, |row| row.elapsed = Elapsed::Overdue),
        Action::GraceEnds(index) => change(world, index, |row| row.elapsed = Elapsed::Overrun),
        Action::Flush => world.flush(),
        Action::Crash(worker) => {
            let list = std::mem::take(&mut world.workers[worker].list);
            (0..OPERATIONS).for_each(|index| world.orphaned[index] += list[index]);
            world.workers[worker].at = At::Idle;
        }
        Action::ReapLiving(worker) => {
            let list = std::mem::take(&mut world.workers[worker].list);
            (0..OPERATIONS).for_each(|index| world.ready[index] += list[index]);
        }
        Action::Receive(worker, index) | Action::ReceiveReplyLost(worker, index) => {
            world.ready[index] -= 1;
            world.workers[worker].list[index] += 1;
            if let Action::Receive(..) = action {
                world.workers[worker].at = At::Received(index);
            }
        }
        Action::Reconcile(worker, index) => world.workers[worker].at = At::Received(index),
        Action::Claim(worker)
        | Action::ClaimReplyLost(worker)
        | Action::Intend(worker)
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
        | Action::Panics(worker) => {
            let at = world.workers[worker].at;
            world.workers[worker].at = match at {
                At::Idle => At::Idle,
                At::Received(index) => claim(scope, world, index, action),
                At::Owner { operation, fence, phase } => own(scope, world, worker, (operation, fence, phase), action),
                At::Leaving { operation, .. } | At::HandingBack(operation) => {
                    leave(world, worker, operation, action);
                    At::Idle
                }
            };
        }
    }
}

fn change(world: &mut World, index: usize, change: impl FnOnce(&mut OperationFacts)) {
    if let Some(row) = &mut world.operations[index].row {
        change(row);
    }
}

/// `claim.rs`.
fn claim(scope: &ModelSize, world: &mut World, index: usize, action: Action) -> At {
    let forget = At::Leaving { operation: index, fence: 0 };
    let taken = world.slots_taken();
    let paused = world.paused && scope.weakness != Some(Weakness::ClaimPaused);
    let operation = &mut world.operations[index];
    let Some(row) = operation.row else { return forget };
    let ended = scope.weakness == Some(Weakness::ClaimEnded) && row.state.is_ended();
    let purpose = row.claimable(paused).or_else(|| ended.then_some(ClaimPurpose::Run));
    let Some(purpose) = purpose else {
        let run = scope.weakness == Some(Weakness::RunUnclaimed);
        return if run { At::Owner { operation: index, fence: row.fence, phase: Phase::Between } } else { forget };
    };
    if taken >= scope.slots {
        return At::HandingBack(index);
    }
    let mut claimed = row.claimed(purpose);
    if scope.weakness == Some(Weakness::KeepFence) {
        claimed.fence = row.fence;
    }
    operation.row = Some(claimed);
    operation.slot = true;
    operation.handed_back = false;
    if let Action::Claim(_) = action {
        let phase = match purpose {
            ClaimPurpose::Run => Phase::Between,
            ClaimPurpose::Undo => Phase::Undoing(Why::Undo),
        };
        At::Owner { operation: index, fence: claimed.fence, phase }
    } else {
        At::HandingBack(index)
    }
}

/// `recover.rs`.
fn recover(scope: &ModelSize, operation: &mut Operation, policy: CrashPolicy) {
    let Some(row) = operation.row else { return };
    let footprint = match operation.judged.take() {
        None => operation.footprint(),
        Some(true) => Footprint::External,
        Some(false) => Footprint::Internal,
    };
    let facts = OperationFacts { committed: row.committed && scope.weakness != Some(Weakness::UndoCommitted), ..row };
    let mut recovery = decide(&facts, policy, footprint);
    if scope.weakness == Some(Weakness::RequeueAfterOutside) && recovery == Recovery::Stale && row.crashes < 2 {
        recovery = Recovery::Requeue;
    }
    let mut recovered = row.recovered(recovery, footprint, true);
    if scope.weakness == Some(Weakness::KeepFence) {
        recovered.fence = row.fence;
    }
    operation.row = Some(recovered);
    operation.slot = false;
}

/// `settle.rs`.
fn panicked(scope: &ModelSize, row: &OperationFacts, index: usize, footprint: Footprint) -> Recovery {
    let recovery = decide_panic(row, scope.policies[index], footprint);
    let weak = scope.weakness == Some(Weakness::RequeuePanicked) && row.state == OperationState::Running;
    if weak { Recovery::Requeue } else { recovery }
}

/// `lists.rs`: the id leaves the list of its worker, or goes back.
fn leave(world: &mut World, worker: usize, index: usize, action: Action) {
    if matches!(action, Action::ForgetLost(_) | Action::HandBackLost(_)) || world.workers[worker].list[index] == 0 {
        return;
    }
    world.workers[worker].list[index] -= 1;
    if let Action::HandBack(_) = action {
        world.ready[index] += 1;
    }
}

/// `handle.rs`, `saga/engine` and `operations/journal.rs`.
fn own(
    scope: &ModelSize,
    world: &mut World,
    worker: usize,
    (index, fence, phase): (usize, i64, Phase),
    action: Action,
) -> At {
    let at = |phase| At::Owner { operation: index, fence, phase };
    let gone = At::Leaving { operation: index, fence: 0 };
    let operation = &mut world.operations[index];
    let unguarded = scope.weakness == Some(Weakness::UnguardedSteps);
    let may_write = unguarded || operation.row.is_some_and(|row| row.may_write_step(fence));
    let undo = |why| at(Phase::Undoing(why));
    match (action, phase) {
        (Action::Renew(_), _) => {
            change(world, index, |row| row.lease = LeaseState::Valid);
            at(phase)
        }
        (Action::NoticeLoss(_), _) => gone,
        (Action::ObserveCancel(_), _) => undo(Why::Cancelled),
        (Action::ObserveDeadline(_), Phase::Undoing(why)) => {
            at(Phase::Ending(Ending::Undone(why, UndoResult::Incomplete)))
        }
        (Action::ObserveDeadline(_), _) => undo(Why::Failed),
        (Action::Drain(_), Phase::Undoing(why)) => at(Phase::Ending(Ending::Undone(why, UndoResult::Interrupted))),
        // The state that the owner checkpoints says that the effect was requested.
        (Action::Drain(_), Phase::Effected(_)) => {
            if !may_write {
                return gone;
            }
            operation.requested = true;
            at(Phase::Ending(Ending::HandedBack))
        }
        (Action::Drain(_), _) => at(Phase::Ending(Ending::HandedBack)),
        (Action::Commit(_), _) if may_write => {
            change(world, index, |row| row.committed = true);
            at(phase)
        }
        (Action::Panics(_), _) => at(Phase::Ending(Ending::Panicked)),
        (Action::Again(_), _) => {
            world.agains -= 1;
            at(Phase::Ending(Ending::Again))
        }
        (Action::Intend(_), _) => match operation.next_step() {
            None => at(Phase::Ending(Ending::Succeeded)),
            Some(_) if !may_write => gone,
            Some(step) if is_outside(step) => at(Phase::Writing(step)),
            Some(step) => {
                operation.steps[step] = Some(StepStatus::Started);
                at(Phase::Begun(step))
            }
        },
        (Action::CommitIntent(_), Phase::Writing(step)) => {
            operation.steps[step] = Some(StepStatus::Started);
            at(if operation.requested { Phase::Effected(step) } else { Phase::Begun(step) })
        }
        // Committed, and then written again.
        (Action::IntentReplyLost(_), Phase::Writing(step)) => {
            operation.steps[step] = Some(StepStatus::Started);
            at(Phase::Between)
        }
        (Action::Effect(_), Phase::Begun(step)) => {
            operation.effects = operation.effects.saturating_add(1).min(2);
            at(Phase::Effected(step))
        }
        (Action::StepDone(_), Phase::Begun(step) | Phase::Effected(step)) if may_write => {
            operation.steps[step] = Some(StepStatus::Done);
            at(Phase::Between)
        }
        (Action::StepFails(_), Phase::Begun(step) | Phase::Effected(step)) if may_write => {
            operation.steps[step] = Some(StepStatus::Failed);
            undo(Why::Failed)
        }
        (Action::UndoEffect(_) | Action::UndoFails(_), Phase::Undoing(why)) => match operation.next_undo() {
            None => {
                let outside = operation.steps.iter().enumerate().any(|(step, s)| is_outside(step) && s.is_some());
                let result = if outside { UndoResult::Complete } else { UndoResult::Nothing };
                at(Phase::Ending(Ending::Undone(why, result)))
            }
            Some(step) if matches!(action, Action::UndoEffect(_)) => at(Phase::Undone(step, why)),
            Some(step) if may_write => {
                operation.steps[step] = Some(StepStatus::UndoFailed);
                at(Phase::Ending(Ending::Undone(why, UndoResult::Incomplete)))
            }
            Some(_) => at(Phase::Ending(Ending::Undone(why, UndoResult::Interrupted))),
        },
        (Action::UndoWritten(_), Phase::Undone(step, why)) => {
            if !may_write {
                return at(Phase::Ending(Ending::Undone(why, UndoResult::Interrupted)));
            }
            operation.steps[step] = Some(StepStatus::Undone);
            undo(why)
        }
        (Action::Finish(_) | Action::FinishReplyLost(_), Phase::Ending(ending)) => {
            finish(scope, world, worker, (index, fence), ending, action)
        }
        // The write was refused.
        _ => gone,
    }
}

/// `finish.rs`.
fn finish(
    scope: &ModelSize,
    world: &mut World,
    worker: usize,
    (index, fence): (usize, i64),
    ending: Ending,
    action: Action,
) -> At {
    let early = scope.weakness == Some(Weakness::ForgetFirst) && world.workers[worker].list[index] > 0;
    if early {
        world.workers[worker].list[index] -= 1;
        return At::Owner { operation: index, fence, phase: Phase::Ending(ending) };
    }
    let operation = &mut world.operations[index];
    let Some(row) = operation.row.filter(|row| row.is_owned_by(fence)) else {
        return At::Leaving { operation: index, fence: 0 };
    };
    let mut finished = match ending.end() {
        Some(end) => row.finished(&end),
        None => {
            let footprint = operation.footprint();
            row.recovered(panicked(scope, &row, index, footprint), footprint, true)
        }
    };
    if ending == Ending::Again && scope.weakness == Some(Weakness::CountAgain) {
        finished.starts = row.starts;
    }
    operation.row = Some(finished);
    operation.handed_back = ending == Ending::HandedBack;
    operation.slot = scope.weakness == Some(Weakness::KeepSlot);
    debug_assert!(row.state == OperationState::Running || row.state.is_ended());
    if let Action::Finish(_) = action {
        At::Leaving { operation: index, fence }
    } else {
        At::Owner { operation: index, fence, phase: Phase::Ending(ending) }
    }
}
