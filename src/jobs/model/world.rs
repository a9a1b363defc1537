//! One state of the modelled world: rows, lists, and what each worker is doing.

use std::time::Duration;

use crate::db::entities::operation::{Cleanup, OperationState, Unwind};
use crate::db::entities::operation_step::StepStatus;
use crate::jobs::end::End;
use crate::jobs::job::{CrashPolicy, UnwindEnd};
use crate::jobs::lifecycle::{Elapsed, Footprint, Lease, Standing};

use super::Scope;

pub(super) const OPERATIONS: usize = 2;
pub(super) const WORKERS: usize = 2;
/// Each operation takes two steps: one that only changes our own records, one that reaches outside.
pub(super) const STEPS: usize = 2;

/// Whether the step reaches outside.
pub(super) const fn is_outside(step: usize) -> bool {
    step == 1
}

/// How many entries a list holds, by operation. Order is no part of the model.
pub(super) type List = [u8; OPERATIONS];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct World {
    pub(super) operations: [Operation; OPERATIONS],
    /// In no particular order: workers are alike.
    pub(super) workers: [Worker; WORKERS],
    pub(super) ready: List,
    /// What is on the lists of processes that are gone.
    pub(super) orphaned: List,
    pub(super) paused: bool,
    /// How many faults may still happen.
    pub(super) faults: u8,
    pub(super) pauses: u8,
    /// How often a job may still end as "again".
    pub(super) agains: u8,
    /// The invariants a transition has broken, a bit each.
    pub(super) broken: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Operation {
    /// `None` before the insert is committed.
    pub(super) row: Option<Standing>,
    /// The one who inserted it has yet to announce it.
    pub(super) ring: bool,
    pub(super) cancel: bool,
    pub(super) slot: bool,
    pub(super) steps: [Option<StepStatus>; STEPS],
    /// How often the outside step of a run had its effect.
    pub(super) effects: u8,
    /// Only with [`super::Weakness::JudgeBeforeLock`]: whether an outside step was seen.
    pub(super) judged: Option<bool>,
}

impl Operation {
    pub(super) fn footprint(&self) -> Footprint {
        match self.steps {
            [_, Some(_)] => Footprint::Outside,
            [Some(_), None] => Footprint::Inside,
            [None, None] => Footprint::None,
        }
    }

    pub(super) fn in_progress(&self) -> bool {
        self.row.is_some_and(|row| row.in_progress())
    }

    pub(super) fn is_owned_by(&self, fence: i64) -> bool {
        self.row.is_some_and(|row| row.is_owned_by(fence))
    }

    /// Whether no step is half done.
    pub(super) fn is_at_a_boundary(&self) -> bool {
        self.steps.iter().flatten().all(|step| matches!(step, StepStatus::Done | StepStatus::Undone))
    }

    /// The next step of a run.
    pub(super) fn next_step(&self) -> Option<usize> {
        self.steps.iter().position(|step| *step != Some(StepStatus::Done))
    }

    /// The next step of an undo.
    pub(super) fn next_undo(&self) -> Option<usize> {
        self.steps.iter().rposition(|step| step.is_some_and(|step| step != StepStatus::Undone))
    }

    /// Whether nothing is left to do without a person.
    pub(super) fn is_settled(&self) -> bool {
        self.row
            .is_none_or(|row| row.state.is_ended() && matches!(row.unwind, Unwind::None | Unwind::Done | Unwind::Held))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Worker {
    /// Its processing list.
    pub(super) list: List,
    pub(super) at: At,
}

/// Where a worker stands, as in `handle.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum At {
    Idle,
    /// It knows the id and has not claimed it.
    Received(usize),
    /// It won the claim.
    Owner {
        operation: usize,
        fence: i64,
        phase: Phase,
    },
    /// The id goes off the list next. With the fence it ended, 0 when it owned nothing or gave up its lease.
    Leaving {
        operation: usize,
        fence: i64,
    },
    /// The id goes back to the ready list next.
    HandingBack(usize),
}

/// Where an owner stands, as in `saga/engine` and `operations/journal.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Phase {
    /// Between two steps.
    Between,
    /// Its lease is proven and the row locked; the intent of this step is not committed.
    Writing(usize),
    /// The intent is committed.
    Begun(usize),
    /// The outside effect happened.
    Effected(usize),
    /// Looks for the next step to undo.
    Undoing(Why),
    /// The effect is taken back, and not yet written so.
    Undone(usize, Why),
    /// Writes the end.
    Ending(Ending),
}

/// Why steps are undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Why {
    Failed,
    Cancelled,
    /// The operation had ended before.
    Unwind,
}

/// What came of an undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum UndoResult {
    Nothing,
    Complete,
    Incomplete,
    Interrupted,
}

/// What an owner writes in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Ending {
    Succeeded,
    HandedBack,
    Again,
    Panicked,
    Undone(Why, UndoResult),
}

impl Ending {
    /// What the owner writes, unless its job could not say it.
    pub(super) fn end(self) -> Option<End> {
        let ended = |state, undo| End::Ended { state, failure: None, undo };
        let undo = |result| match result {
            UndoResult::Nothing => UnwindEnd::Nothing,
            UndoResult::Complete => UnwindEnd::Complete,
            UndoResult::Incomplete => UnwindEnd::Incomplete { reason: String::new(), leftovers: Vec::new() },
            UndoResult::Interrupted => UnwindEnd::Interrupted,
        };
        Some(match self {
            Self::Panicked => return None,
            Self::Succeeded => ended(OperationState::Succeeded, UnwindEnd::Nothing),
            Self::HandedBack => End::HandedBack,
            Self::Again => End::Again { after: Duration::from_secs(1) },
            Self::Undone(Why::Failed, result) => ended(OperationState::Failed, undo(result)),
            Self::Undone(Why::Cancelled, result) => ended(OperationState::Cancelled, undo(result)),
            Self::Undone(Why::Unwind, result) => End::Unwound(undo(result)),
        })
    }
}

impl World {
    /// The beginning: nothing is committed. Redis is empty, or holds ids that have no row.
    pub(super) fn initial(scope: &Scope, ready: List) -> Self {
        let operation = |index: usize| Operation {
            row: None,
            ring: false,
            cancel: scope.cancels[index],
            slot: false,
            steps: [None; STEPS],
            effects: 0,
            judged: None,
        };
        Self {
            operations: std::array::from_fn(operation),
            workers: [Worker { list: [0; OPERATIONS], at: At::Idle }; WORKERS],
            ready,
            orphaned: [0; OPERATIONS],
            paused: false,
            faults: scope.faults,
            pauses: scope.pauses,
            agains: scope.agains,
            broken: 0,
        }
    }

    /// Whether the row is held by a transaction that writes a step.
    pub(super) fn is_locked(&self, operation: usize) -> bool {
        let holds = |worker: &Worker| matches!(worker.at, At::Owner { operation: held, phase: Phase::Writing(_), .. } if held == operation);
        self.workers.iter().any(holds)
    }

    /// Whether a living worker owns the operation, and so renews its lease.
    pub(super) fn is_attended(&self, operation: usize) -> bool {
        let row = &self.operations[operation];
        let owns = |worker: &Worker| matches!(worker.at, At::Owner { operation: owned, fence, .. } if owned == operation && row.is_owned_by(fence));
        self.workers.iter().any(owns)
    }

    pub(super) fn slots_taken(&self) -> usize {
        self.operations.iter().filter(|operation| operation.slot).count()
    }

    /// Redis loses everything.
    pub(super) fn flush(&mut self) {
        self.ready = [0; OPERATIONS];
        self.orphaned = [0; OPERATIONS];
        for worker in &mut self.workers {
            worker.list = [0; OPERATIONS];
        }
    }
}

/// The row as `operations::begin` writes it.
pub(super) fn fresh(policy: CrashPolicy) -> Standing {
    Standing {
        state: OperationState::Queued,
        unwind: Unwind::None,
        cleanup: Cleanup::None,
        due: true,
        lease: Lease::None,
        elapsed: Elapsed::InTime,
        fence: 0,
        starts: 0,
        max_starts: match policy {
            CrashPolicy::UnwindOutsideEffects => 1,
            CrashPolicy::Resume => 2,
        },
        crashes: 0,
        cancel_requested: false,
    }
}
