//! What a worker writes when it lets go of an operation.

use std::time::Duration;

use crate::db::entities::operation::OperationState;

use super::job::{JobEnd, JobFailure, UnwindEnd};

/// What a worker writes when it lets go of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The run is over.
    Ended {
        /// The end state.
        state: OperationState,
        /// Why, unless it succeeded.
        failure: Option<JobFailure>,
        /// What came of its effects.
        undo: UnwindEnd,
    },
    /// The undo of an operation that had ended before is over, or has to go on later.
    Unwound(UnwindEnd),
    /// Another worker shall go on at the same place; the start does not count.
    HandedBack,
    /// Some worker shall run it again later; the start does not count.
    Again {
        /// How much later.
        after: Duration,
    },
}

impl End {
    /// What to write for the way a run ended; `None` when the lease is lost and nothing may be written.
    pub fn of_run(end: JobEnd) -> Option<Self> {
        match end {
            JobEnd::Succeeded => {
                Some(Self::Ended { state: OperationState::Succeeded, failure: None, undo: UnwindEnd::Nothing })
            }
            JobEnd::Failed { failure, undo } => {
                Some(Self::Ended { state: OperationState::Failed, failure: Some(failure), undo })
            }
            JobEnd::Cancelled { undo } => Some(Self::Ended { state: OperationState::Cancelled, failure: None, undo }),
            JobEnd::HandedBack => Some(Self::HandedBack),
            JobEnd::Again { after } => Some(Self::Again { after }),
            JobEnd::Lost => None,
        }
    }
}
