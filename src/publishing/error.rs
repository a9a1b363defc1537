//! Why a server is not published or unpublished.

use sea_orm::DbErr;

use crate::edge::NotPublishable;
use crate::kernel::VmId;
use crate::servers::payload::PayloadError;

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The server cannot have a public name.
    #[error(transparent)]
    NotPublishable(#[from] NotPublishable),
    /// The server is gone or being deleted.
    #[error("server {vmid} is gone or being deleted")]
    Deleting {
        /// Its VMID.
        vmid: VmId,
    },
    /// There is a newer request, or newer work on the same server.
    #[error("the publication of server {vmid} was superseded by a newer publish or unpublish request")]
    Superseded {
        /// Its VMID.
        vmid: VmId,
    },
    /// The row of the server cannot be used for it.
    #[error("server {vmid} cannot be published: {detail}")]
    Unusable {
        /// Its VMID.
        vmid: VmId,
        /// What is wrong with it.
        detail: String,
    },
    /// The stored state of the publication could not be read or written.
    #[error(transparent)]
    Payload(PayloadError),
}

impl From<PayloadError> for PublishError {
    fn from(error: PayloadError) -> Self {
        match error {
            PayloadError::Gone { vmid } => Self::Deleting { vmid },
            error => Self::Payload(error),
        }
    }
}

impl From<DbErr> for PublishError {
    fn from(error: DbErr) -> Self {
        Self::Payload(error.into())
    }
}
