//! The polls of the router: Traefik asks us for its routes, so its last poll is all that shows that it works.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::kernel::Timestamp;

/// How long a poll counts. Traefik polls every 5 seconds unless it is set otherwise.
const POLL_TRUST: Duration = Duration::from_secs(120);

/// One poll that was answered with the complete document, or with 304.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouterPoll {
    /// When.
    pub at: Timestamp,
    /// The entity tag of the document.
    pub etag: String,
}

/// Whether a poll at `at` still counts at `now`.
pub fn poll_counts(at: Timestamp, now: Timestamp) -> bool {
    now.since(at) <= POLL_TRUST
}

/// The polls were not readable.
#[derive(Debug, thiserror::Error)]
#[error("the polls of the router cannot be read: {detail}")]
pub struct RouterPollsError {
    /// Why.
    pub detail: String,
}

/// The last poll, whichever process answered it.
#[async_trait]
pub trait RouterPolls: Send + Sync {
    /// The last poll; `None` if there was none for an hour.
    async fn last(&self) -> Result<Option<RouterPoll>, RouterPollsError>;
}
