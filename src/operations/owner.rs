//! How a step ends when its operation's owner could not read or write.

use crate::jobs::{Lost, OwnerError};
use crate::saga::{StepError, Stopped, UndoError};

impl From<Lost> for Stopped {
    fn from(Lost: Lost) -> Self {
        Self::Lost
    }
}

impl From<OwnerError> for StepError {
    fn from(error: OwnerError) -> Self {
        match error {
            OwnerError::Lost(lost) => Stopped::from(lost).into(),
            OwnerError::Database(error) => Self::failed("database_unavailable", error.to_string()),
        }
    }
}

impl From<OwnerError> for UndoError {
    fn from(error: OwnerError) -> Self {
        match error {
            OwnerError::Lost(lost) => Stopped::from(lost).into(),
            OwnerError::Database(error) => Self::Remains(format!("the database refused a write: {error}")),
        }
    }
}
