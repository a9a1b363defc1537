//! What a worker writes when it releases an operation.

use std::time::Duration;

use crate::db::entities::operation::OperationState;

use super::job::{JobEnd, JobFailure, UndoEnd};

/// What a worker writes when it releases an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The run has ended.
    Ended {
        /// The end state.
        state: OperationState,
        /// The reason, unless it succeeded.
        failure: Option<JobFailure>,
        /// How the undo of its effects ended.
        undo: UndoEnd,
    },
    /// An undo of an operation whose run had ended before; it is complete, or continues later.
    Undone(UndoEnd),
    /// Another worker continues at the same step; the start does not count.
    HandedBack,
    /// The operation runs again later; the start does not count.
    Again {
        /// The wait before the next run.
        after: Duration,
    },
}

impl End {
    /// What to write for a run that ended as `end`; `None` if the lease is lost, so that nothing may be written.
    pub fn of_run(end: JobEnd) -> Option<Self> {
        match end {
            JobEnd::Succeeded => {
                Some(Self::Ended { state: OperationState::Succeeded, failure: None, undo: UndoEnd::Nothing })
            }
            JobEnd::Failed { failure, undo } => {
                Some(Self::Ended { state: OperationState::Failed, failure: Some(failure), undo })
            }
            JobEnd::Cancelled { undo } => Some(Self::Ended { state: OperationState::Cancelled, failure: None, undo }),
            JobEnd::HandedBack => Some(Self::HandedBack),
            JobEnd::Again { after } => Some(Self::Again { after }),
            JobEnd::LeaseLost => None,
        }
    }
}
