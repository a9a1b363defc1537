//! Errors of operations.

use sea_orm::DbErr;

use crate::db::{AsDbErr, ReadError};
use crate::web::ApiError;

/// Why an operation could not be accepted or shown.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// The database failed.
    #[error("the database could not serve an operation")]
    Database(#[from] DbErr),
    /// The operation that answers the order cannot be read.
    #[error("the operation that answers an order could not be read")]
    Read(#[source] ReadError),
    /// The payload cannot be written as JSON.
    #[error("the payload of an operation cannot be written as JSON")]
    Payload(#[source] serde_json::Error),
    /// The payload is too large.
    #[error("the payload of an operation has {bytes} bytes, {limit} are allowed")]
    PayloadTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}

impl AsDbErr for OperationError {
    fn as_db_err(&self) -> Option<&DbErr> {
        match self {
            Self::Database(error) => Some(error),
            Self::Read(error) => error.as_db_err(),
            Self::Payload(_) | Self::PayloadTooLarge { .. } => None,
        }
    }
}

impl From<OperationError> for ApiError {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::Database(source) => source.into(),
            OperationError::Read(source) => source.into(),
            error @ (OperationError::Payload(_) | OperationError::PayloadTooLarge { .. }) => ApiError::internal(error),
        }
    }
}

impl From<ReadError> for OperationError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Database(error) => Self::Database(error),
            unreadable @ ReadError::Unreadable { .. } => Self::Read(unreadable),
        }
    }
}
