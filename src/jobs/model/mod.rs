//! A model of the job runtime, checked exhaustively: two operations, two workers, the sweeper and the reaper, with a
//! crash, a panic, a flush, a lost reply, a pause, an overrun deadline or a stop of a worker between any two transitions (docs/invariants.md).
//!
//! What decides is not written again here: transitions call [`super::lifecycle`], whose functions are compared with the
//! SQL on every combination of columns by `tests/stores/lifecycle.rs`. What the model adds is the order in which
//! processes can get in each other's way: `world.rs` is the state, `action.rs` what can happen in a state,
//! `transition.rs` what it does, `audit.rs` and `properties.rs` the invariants, `fairness.rs` the search behind "in the
//! end". `tests.rs` also weakens one rule at a time and demands that the checker notices.
//!
//! Abstracted away: the order of a list (I15), kinds a worker does not know (I14), the length of waits (a lease may run
//! out at any moment, a backoff ends at any moment), and time in Redis (a worker may be taken for dead at any moment).
//! A database transaction is one step, except that of a step intent: it holds its row while other things happen.

mod action;
mod audit;
mod fairness;
mod properties;
mod tests;
mod transition;
mod world;

use super::job::CrashPolicy;

/// What is checked: who takes part, and how much may go wrong.
#[derive(Clone, Copy, Debug)]
struct Scope {
    /// What becomes of each operation when its owner vanishes.
    policies: [CrashPolicy; world::OPERATIONS],
    /// How many operations may be in progress.
    slots: usize,
    /// How many faults happen at most.
    faults: u8,
    /// How often a job ends as "again", at most.
    agains: u8,
    /// How often the queue is paused, at most.
    pauses: u8,
    /// Which operations the user may cancel.
    cancels: [bool; world::OPERATIONS],
    /// The rule that is broken on purpose.
    weakness: Option<Weakness>,
}

/// A rule that is broken to see whether the checker notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weakness {
    /// An id is worked on although its claim was refused.
    RunUnclaimed,
    /// The fence stays as it is.
    KeepFence,
    /// Steps are written whoever is current.
    UnguardedSteps,
    /// An operation that has ended can be claimed.
    ClaimEnded,
    /// The id leaves the list before the end is committed.
    ForgetFirst,
    /// A provisioning operation is queued again whatever it has begun.
    RequeueAfterOutside,
    /// An operation whose job panicked is queued again whatever it has begun.
    RequeuePanicked,
    /// The recovery reads the step log before it has the row.
    JudgeBeforeLock,
    /// The slot stays taken when the operation ends.
    KeepSlot,
    /// A run that ends as "again" counts as a start.
    CountAgain,
    /// The pause switch is not looked at.
    ClaimPaused,
    /// Nobody offers due rows.
    NoSweeper,
    /// Nobody recovers from vanished owners.
    NoRecovery,
}
