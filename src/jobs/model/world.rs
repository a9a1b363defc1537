//! One state of the model: rows, lists, and the position of each worker.

use std::time::Duration;

use crate::db::entities::operation::{Cleanup, OperationState, UndoState};
use crate::db::entities::operation_step::StepStatus;
use crate::jobs::end::End;
use crate::jobs::job::{CrashPolicy, UndoEnd};
use crate::jobs::lifecycle::{Elapsed, Footprint, LeaseState, OperationFacts};

use super::ModelSize;

pub(super) const OPERATIONS: usize = 2;
pub(super) const WORKERS: usize = 2;
/// Each operation has two steps: one that only changes our own database, and one with an external effect.
pub(super) const STEPS: usize = 2;

/// Whether the step has an external effect.
pub(super) const fn is_outside(step: usize) -> bool {
    step == 1
}

/// The number of entries in a list, by operation. The order is not modelled.
pub(super) type List = [u8; OPERATIONS];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct World {
    pub(super) operations: [Operation; OPERATIONS],
    /// In no particular order, since workers are interchangeable.
    pub(super) workers: [Worker; WORKERS],
    pub(super) ready: List,
    /// The entries on the lists of dead processes.
    pub(super) orphaned: List,
    pub(super) paused: bool,
    /// The remaining faults.
    pub(super) faults: u8,
    pub(super) pauses: u8,
    /// The remaining ends as "again".
    pub(super) agains: u8,
    /// The invariants that a transition has broken, as bits.
    pub(super) broken: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Operation {
    /// `None` before the insert is committed.
    pub(super) row: Option<OperationFacts>,
    /// Its first offer is still to come.
    pub(super) ring: bool,
    pub(super) cancel: bool,
    pub(super) slot: bool,
    pub(super) steps: [Option<StepStatus>; STEPS],
    /// How often the external step of a run had its effect.
    pub(super) effects: u8,
    /// The journal says that the external step had its effect: its owner handed the operation back in the middle of it.
    pub(super) requested: bool,
    /// Its last owner handed it back.
    pub(super) handed_back: bool,
    /// Only with [`super::Weakness::JudgeBeforeLock`]: whether an external step was found.
    pub(super) judged: Option<bool>,
}

impl Operation {
    pub(super) fn footprint(&self) -> Footprint {
        match self.steps {
            [_, Some(_)] => Footprint::External,
            [Some(_), None] => Footprint::Internal,
            [None, None] => Footprint::None,
        }
    }

    pub(super) fn in_progress(&self) -> bool {
        self.row.is_some_and(|row| row.in_progress())
    }

    pub(super) fn is_owned_by(&self, fence: i64) -> bool {
        self.row.is_some_and(|row| row.is_owned_by(fence))
    }

    /// Whether no step is in progress.
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

    /// Whether nothing is left to do without an operator.
    pub(super) fn is_settled(&self) -> bool {
        self.row.is_none_or(|row| {
            row.state.is_ended() && matches!(row.unwind, UndoState::None | UndoState::Done | UndoState::Held)
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Worker {
    /// Its processing list.
    pub(super) list: List,
    pub(super) at: At,
}

/// The position of a worker, as in `handle.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum At {
    Idle,
    /// It has received the id and not claimed it.
    Received(usize),
    /// It has claimed the operation.
    Owner {
        operation: usize,
        fence: i64,
        phase: Phase,
    },
    /// The id is acknowledged next. With the fence of the ended claim, 0 if there was none or the lease was lost.
    Leaving {
        operation: usize,
        fence: i64,
    },
    /// The id is handed back next.
    HandingBack(usize),
}

/// The position of an owner, as in `saga/engine` and `operations/journal.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Phase {
    /// Between two steps.
    Between,
    /// The lease is checked and the row locked; the intent of this step is not committed.
    Writing(usize),
    /// The intent is committed.
    Begun(usize),
    /// The external effect has happened.
    Effected(usize),
    /// Before the next step to undo.
    Undoing(Why),
    /// The effect is undone, and that is not written yet.
    Undone(usize, Why),
    /// Before the write of the end.
    Ending(Ending),
}

/// Why steps are undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Why {
    Failed,
    Cancelled,
    /// The operation had ended before.
    Undo,
}

/// How an undo ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum UndoResult {
    Nothing,
    Complete,
    Incomplete,
    Interrupted,
}

/// The end that an owner writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Ending {
    Succeeded,
    HandedBack,
    Again,
    Panicked,
    Undone(Why, UndoResult),
}

impl Ending {
    /// What the owner writes, unless its job panicked.
    pub(super) fn end(self) -> Option<End> {
        let ended = |state, undo| End::Ended { state, failure: None, undo };
        let undo = |result| match result {
            UndoResult::Nothing => UndoEnd::Nothing,
            UndoResult::Complete => UndoEnd::Complete,
            UndoResult::Incomplete => UndoEnd::Incomplete { reason: String::new(), debts: Vec::new() },
            UndoResult::Interrupted => UndoEnd::Interrupted,
        };
        Some(match self {
            Self::Panicked => return None,
            Self::Succeeded => ended(OperationState::Succeeded, UndoEnd::Nothing),
            Self::HandedBack => End::HandedBack,
            Self::Again => End::Again { after: Duration::from_secs(1) },
            Self::Undone(Why::Failed, result) => ended(OperationState::Failed, undo(result)),
            Self::Undone(Why::Cancelled, result) => ended(OperationState::Cancelled, undo(result)),
            Self::Undone(Why::Undo, result) => End::Undone(undo(result)),
        })
    }
}

impl World {
    /// The initial state: nothing is committed. Redis is empty, or holds ids that have no row.
    pub(super) fn initial(scope: &ModelSize, ready: List) -> Self {
        let operation = |index: usize| Operation {
            row: None,
            ring: false,
            cancel: scope.cancels[index],
            slot: false,
            steps: [None; STEPS],
            effects: 0,
            requested: false,
            handed_back: false,
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

    /// Whether the row is locked by a transaction that writes a step.
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
pub(super) fn fresh(policy: CrashPolicy) -> OperationFacts {
    OperationFacts {
        state: OperationState::Queued,
        unwind: UndoState::None,
        cleanup: Cleanup::None,
        due: true,
        lease: LeaseState::None,
        elapsed: Elapsed::InTime,
        fence: 0,
        starts: 0,
        max_starts: match policy {
            CrashPolicy::UndoExternalEffects => 1,
            CrashPolicy::Resume => 2,
        },
        crashes: 0,
        cancel_requested: false,
        committed: false,
    }
}
