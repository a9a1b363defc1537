//! How long one claim of an operation may take.

use std::time::Duration;

/// What a claim is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimPurpose {
    /// To do the work.
    Run,
    /// To undo what an interrupted run left.
    Unwind,
}

/// How long one claim of an operation may take, by its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// A run, until it is asked to stop.
    pub run: Duration,
    /// An undo, on its own or at the end of a run.
    pub undo: Duration,
}

impl Deadlines {
    /// Those of a kind whose runs leave nothing to undo.
    pub const fn forward(run: Duration) -> Self {
        Self { run, undo: Duration::ZERO }
    }

    /// After this time its owner is asked to stop at the next step boundary.
    pub const fn stop_after(&self, purpose: ClaimPurpose) -> Duration {
        match purpose {
            ClaimPurpose::Run => self.run,
            ClaimPurpose::Unwind => self.undo,
        }
    }

    /// After this time its owner counts as vanished, although it renews its lease. `grace` is what it takes to notice that
    /// it is to stop, and to come to a step boundary; a run then undoes what it did.
    pub const fn fence_after(&self, purpose: ClaimPurpose, grace: Duration) -> Duration {
        let undo = self.undo.saturating_add(grace);
        match purpose {
            ClaimPurpose::Run => self.run.saturating_add(undo),
            ClaimPurpose::Unwind => undo,
        }
    }
}
