//! The actions that are possible in a state. Every action is one atomic step of a process, of a store, or of time.

use crate::jobs::job::CrashPolicy;
use crate::jobs::lifecycle::{Elapsed, LeaseState};

use super::world::{At, OPERATIONS, Phase, WORKERS, Why, World, is_outside};
use super::{ModelSize, Weakness};

/// An action. The numbers are indexes of operations and workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Action {
    // The client.
    Insert(usize),
    Ring(usize),
    RingLost(usize),
    Cancel(usize),
    Pause,
    Resume,
    // A worker.
    Receive(usize, usize),
    Reconcile(usize, usize),
    Claim(usize),
    /// Checks the lease and locks the row; for an internal step this is the whole write.
    Intend(usize),
    /// The job ends its run as "again".
    Again(usize),
    /// The result of the job becomes the customer's.
    Commit(usize),
    CommitIntent(usize),
    Effect(usize),
    StepDone(usize),
    ObserveCancel(usize),
    ObserveDeadline(usize),
    UndoEffect(usize),
    UndoWritten(usize),
    Finish(usize),
    Forget(usize),
    HandBack(usize),
    Renew(usize),
    NoticeLoss(usize),
    // Sweeper and reaper, in any worker.
    Sweep(usize),
    Judge(usize),
    Recover(usize),
    Reap(usize),
    // Time.
    BackoffEnds(usize),
    LeaseEnds(usize),
    GraceEnds(usize),
    // Faults, each of which is deducted from the budget.
    Crash(usize),
    Flush,
    /// The owner was suspended, or disconnected from the database, for longer than its lease.
    Paused(usize),
    /// The owner exceeds the deadline of the kind.
    DeadlinePasses(usize),
    /// The reaper takes a living worker for dead.
    ReapLiving(usize),
    Drain(usize),
    /// The job of an owner panics.
    Panics(usize),
    StepFails(usize),
    UndoFails(usize),
    ReceiveReplyLost(usize, usize),
    ClaimReplyLost(usize),
    IntentReplyLost(usize),
    FinishReplyLost(usize),
    ForgetLost(usize),
    HandBackLost(usize),
}

impl Action {
    /// Whether it is deducted from the budget of faults.
    pub(super) fn is_fault(self) -> bool {
        matches!(
            self,
            Self::Crash(_)
                | Self::Flush
                | Self::Paused(_)
                | Self::DeadlinePasses(_)
                | Self::ReapLiving(_)
                | Self::Drain(_)
                | Self::Panics(_)
                | Self::StepFails(_)
                | Self::UndoFails(_)
                | Self::ReceiveReplyLost(..)
                | Self::ClaimReplyLost(_)
                | Self::IntentReplyLost(_)
                | Self::FinishReplyLost(_)
                | Self::ForgetLost(_)
                | Self::HandBackLost(_)
        )
    }

    /// Whether it happens eventually wherever it stays possible: it is neither a fault nor a free decision of a client.
    pub(super) fn is_fair(self) -> bool {
        let decision = matches!(
            self,
            Self::Insert(_) | Self::RingLost(_) | Self::Cancel(_) | Self::Pause | Self::Again(_) | Self::Commit(_)
        );
        !self.is_fault() && !decision
    }

    /// Whether it is an optimisation that the runtime can do without, since the sweeper has the same effect.
    pub(super) fn is_speed_up(self) -> bool {
        matches!(self, Self::Ring(_) | Self::Reap(_) | Self::Reconcile(..))
    }
}

/// Adds every action that is possible in `world`.
pub(super) fn possible(scope: &ModelSize, world: &World, actions: &mut Vec<Action>) {
    (0..OPERATIONS).for_each(|operation| of_operation(scope, world, operation, actions));
    (0..WORKERS).for_each(|worker| of_worker(scope, world, worker, actions));
    if world.paused {
        actions.push(Action::Resume);
    } else if world.pauses > 0 {
        actions.push(Action::Pause);
    }
    let listed = |list: &[u8; OPERATIONS]| list.iter().any(|entries| *entries > 0);
    if world.faults > 0
        && (listed(&world.ready) || listed(&world.orphaned) || world.workers.iter().any(|worker| listed(&worker.list)))
    {
        actions.push(Action::Flush);
    }
}

fn of_operation(scope: &ModelSize, world: &World, index: usize, actions: &mut Vec<Action>) {
    let operation = &world.operations[index];
    if world.orphaned[index] > 0 {
        actions.push(Action::Reap(index));
    }
    let Some(row) = operation.row else {
        actions.push(Action::Insert(index));
        return;
    };
    if operation.ring {
        actions.extend([Action::Ring(index), Action::RingLost(index)]);
    }
    let locked = world.is_locked(index);
    if operation.cancel && !locked && row.cancelled(operation.footprint()).is_some() {
        actions.push(Action::Cancel(index));
    }
    if row.is_offered(world.paused) && world.ready[index] == 0 && scope.weakness != Some(Weakness::NoSweeper) {
        actions.push(Action::Sweep(index));
    }
    if row.is_abandoned() && scope.weakness != Some(Weakness::NoRecovery) {
        let judge_first = scope.weakness == Some(Weakness::JudgeBeforeLock);
        if judge_first && operation.judged.is_none() {
            actions.push(Action::Judge(index));
        } else if !locked {
            actions.push(Action::Recover(index));
        }
    }
    if !row.due {
        actions.push(Action::BackoffEnds(index));
    }
    if row.in_progress() {
        match row.elapsed {
            Elapsed::InTime if world.faults > 0 => actions.push(Action::DeadlinePasses(index)),
            Elapsed::Overdue => actions.push(Action::GraceEnds(index)),
            Elapsed::InTime | Elapsed::Overrun => {}
        }
    }
    if row.lease == LeaseState::Valid {
        if !world.is_attended(index) {
            actions.push(Action::LeaseEnds(index));
        } else if world.faults > 0 {
            actions.push(Action::Paused(index));
        }
    }
}

fn of_worker(scope: &ModelSize, world: &World, index: usize, actions: &mut Vec<Action>) {
    let worker = &world.workers[index];
    let faults = world.faults > 0;
    let mut add = |action: Action| {
        if faults || !action.is_fault() {
            actions.push(action);
        }
    };
    if worker.at != At::Idle || worker.list.iter().any(|entries| *entries > 0) {
        add(Action::Crash(index));
    }
    if worker.list.iter().any(|entries| *entries > 0) {
        add(Action::ReapLiving(index));
    }
    match worker.at {
        At::Idle => {
            for operation in 0..OPERATIONS {
                if world.ready[operation] > 0 {
                    add(Action::Receive(index, operation));
                    add(Action::ReceiveReplyLost(index, operation));
                }
                if worker.list[operation] > 0 {
                    add(Action::Reconcile(index, operation));
                }
            }
        }
        At::Received(operation) => {
            if !world.is_locked(operation) {
                add(Action::Claim(index));
                add(Action::ClaimReplyLost(index));
            }
        }
        At::Leaving { .. } => {
            add(Action::Forget(index));
            add(Action::ForgetLost(index));
        }
        At::HandingBack(_) => {
            add(Action::HandBack(index));
            add(Action::HandBackLost(index));
        }
        At::Owner { operation, fence, phase } => of_owner(scope, world, index, (operation, fence, phase), &mut add),
    }
}

fn of_owner(
    scope: &ModelSize,
    world: &World,
    index: usize,
    (operation, fence, phase): (usize, i64, Phase),
    add: &mut impl FnMut(Action),
) {
    let row = world.operations[operation].row;
    let cancelled = row.is_some_and(|row| row.cancel_requested);
    let committed = row.is_some_and(|row| row.committed);
    let expired = row.is_some_and(|row| row.lease == LeaseState::Expired);
    let owned = world.operations[operation].is_owned_by(fence);
    if let Phase::Writing(_) = phase {
        add(Action::CommitIntent(index));
        add(Action::IntentReplyLost(index));
        return;
    }
    if !owned || expired {
        add(Action::NoticeLoss(index));
    }
    // Another owner holds the lock of the row while it writes a step: this one waits.
    if world.is_locked(operation) {
        if let Phase::Begun(step) = phase
            && is_outside(step)
        {
            add(Action::Effect(index));
        }
        return;
    }
    if owned && expired {
        add(Action::Renew(index));
    }
    if !matches!(phase, Phase::Ending(_)) {
        add(Action::Panics(index));
    }
    match phase {
        Phase::Between => {
            add(Action::Intend(index));
            add(Action::Drain(index));
            if world.agains > 0 && world.operations[operation].is_at_a_boundary() {
                add(Action::Again(index));
            }
            // One operation that commits is enough to search.
            let commits = operation == 0 && scope.policies[operation] == CrashPolicy::UndoExternalEffects && !committed;
            if commits && world.operations[operation].next_step().is_none() {
                add(Action::Commit(index));
            }
        }
        Phase::Begun(step) if is_outside(step) => {
            add(Action::Effect(index));
            add(Action::StepFails(index));
            add(Action::Drain(index));
        }
        Phase::Begun(_) => add(Action::StepDone(index)),
        Phase::Effected(_) => {
            add(Action::StepDone(index));
            add(Action::StepFails(index));
            add(Action::Drain(index));
        }
        Phase::Undoing(_) => {
            add(Action::UndoEffect(index));
            add(Action::UndoFails(index));
            add(Action::Drain(index));
        }
        Phase::Undone(..) => add(Action::UndoWritten(index)),
        Phase::Ending(_) => {
            add(Action::Finish(index));
            add(Action::FinishReplyLost(index));
        }
        Phase::Writing(_) => {}
    }
    let overdue = row.is_some_and(|row| row.is_overdue());
    let at_boundary =
        matches!(phase, Phase::Between | Phase::Begun(_) | Phase::Effected(_) | Phase::Undoing(Why::Undo));
    if overdue && at_boundary && !committed {
        add(Action::ObserveDeadline(index));
    }
    if cancelled && !committed && matches!(phase, Phase::Between | Phase::Begun(_) | Phase::Effected(_)) {
        add(Action::ObserveCancel(index));
    }
}
