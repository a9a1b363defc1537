//! The deadlines of one claim of an operation.

use std::time::Duration;

/// The purpose of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimPurpose {
    /// To run the operation.
    Run,
    /// To undo what an interrupted run left.
    Undo,
}

impl ClaimPurpose {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Run, Self::Undo];
}

/// The deadlines of one claim of an operation, by its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// How long a run may take before it is asked to stop.
    pub run: Duration,
    /// How long an undo may take, on its own or at the end of a run.
    pub undo: Duration,
}

impl Deadlines {
    /// The deadlines of a kind whose runs leave nothing to undo.
    pub const fn forward(run: Duration) -> Self {
        Self { run, undo: Duration::ZERO }
    }

    /// The time after which the owner is asked to stop at the next step boundary.
    pub const fn stop_after(&self, purpose: ClaimPurpose) -> Duration {
        match purpose {
            ClaimPurpose::Run => self.run,
            ClaimPurpose::Undo => self.undo,
        }
    }

    /// The time after which the owner counts as vanished, although it still renews its lease. `grace` is the time that
    /// an owner needs to notice the request to stop and to reach a step boundary; a run then undoes its steps.
    pub const fn fence_after(&self, purpose: ClaimPurpose, grace: Duration) -> Duration {
        let undo = self.undo.saturating_add(grace);
        match purpose {
            ClaimPurpose::Run => self.run.saturating_add(undo),
            ClaimPurpose::Undo => undo,
        }
    }
}
