//! A model of the job runtime, checked exhaustively: two operations, two workers, the sweeper and the reaper, with a
//! crash, a panic, a flush, a lost reply, a pause, an overrun deadline or a stop of a worker between any two
//! transitions (docs/invariants.md).
//!
//! The model does not repeat the rules: transitions call [`super::lifecycle`], whose functions
//! `tests/stores/lifecycle.rs` compares with the SQL on every combination of columns. The model adds the interleavings
//! of the processes: `world.rs` is the state, `action.rs` the actions that are possible in a state, `transition.rs`
//! their effects, `audit.rs` and `properties.rs` the invariants, and `fairness.rs` the search for liveness. `tests.rs`
//! also weakens one rule at a time and requires that the checker finds a violation.
//!
//! Not modelled: the order of a list (I15), kinds a worker does not know (I14), durations (a lease may expire and a
//! backoff may end at any time), and time in Redis (a worker may be taken for dead at any time). A database transaction
//! is one step, except that of a step intent, which holds the lock of its row while other actions happen.

mod action;
mod audit;
mod fairness;
mod properties;
mod tests;
mod transition;
mod world;

use super::job::CrashPolicy;

/// The size of the model: the participants, and the bounds of faults and decisions.
#[derive(Clone, Copy, Debug)]
struct ModelSize {
    /// The crash policy of each operation.
    policies: [CrashPolicy; world::OPERATIONS],
    /// The number of slots.
    slots: usize,
    /// The most faults.
    faults: u8,
    /// The most ends as "again".
    agains: u8,
    /// The most pauses of the queue.
    pauses: u8,
    /// The operations that the user may cancel.
    cancels: [bool; world::OPERATIONS],
    /// The rule that is broken deliberately.
    weakness: Option<Weakness>,
}

/// A rule that is broken to test whether the checker finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weakness {
    /// An operation runs although its claim was refused.
    RunUnclaimed,
    /// A claim does not raise the fence.
    KeepFence,
    /// Steps are written without a check of the fence.
    UnguardedSteps,
    /// An ended operation can be claimed.
    ClaimEnded,
    /// The id leaves the list before the end is committed.
    ForgetFirst,
    /// A provision is queued again whatever steps it has begun.
    RequeueAfterOutside,
    /// An operation whose job panicked is queued again whatever steps it has begun.
    RequeuePanicked,
    /// The recovery reads the journal before it has locked the row.
    JudgeBeforeLock,
    /// The recovery ignores that an operation has committed.
    UndoCommitted,
    /// The slot stays taken when the operation ends.
    KeepSlot,
    /// A run that ends as "again" counts as a start.
    CountAgain,
    /// A claim ignores the pause switch.
    ClaimPaused,
    /// Due rows are never offered.
    NoSweeper,
    /// Operations of vanished owners are never recovered.
    NoRecovery,
}
