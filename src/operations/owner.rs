//! How a step ends when its operation's owner could not read or write.

use crate::jobs::{LeaseLost, OwnerError};
use crate::saga::{StepError, Stopped, UndoError};

impl From<LeaseLost> for Stopped {
    fn from(LeaseLost: LeaseLost) -> Self {
        Self::OwnershipLost
    }
}

impl From<OwnerError> for StepError {
    fn from(error: OwnerError) -> Self {
        match error {
            OwnerError::LeaseLost(lost) => Stopped::from(lost).into(),
            OwnerError::Database(error) => Self::failed("database_unavailable", error.to_string()),
        }
    }
}

impl From<OwnerError> for UndoError {
    fn from(error: OwnerError) -> Self {
        match error {
            OwnerError::LeaseLost(lost) => Stopped::from(lost).into(),
            OwnerError::Database(error) => Self::Remains(format!("the database refused a write: {error}")),
        }
    }
}
