//! The artifact catalog: which games, variants, runtimes and versions can be installed (docs/contracts/edge.md F).

use async_trait::async_trait;

use crate::kernel::{Classify, Failure};

/// One document of the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The document with the given entity tag has not changed.
    Unchanged,
    /// A document.
    Document {
        /// The JSON text, at most 1 MiB.
        body: String,
        /// The entity tag to send next time.
        etag: Option<String>,
    },
}

/// Why the catalog could not be read. An unreadable catalog never counts as an empty one.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CatalogError {
    /// No connection, no answer in time, or a failing server.
    #[error("the artifact catalog could not be read from {url}: {detail}")]
    Unavailable {
        /// The requested address.
        url: String,
        /// The cause.
        detail: String,
    },
    /// The document is larger than 1 MiB or not UTF-8.
    #[error("the artifact catalog at {url} is not acceptable: {detail}")]
    Unacceptable {
        /// The requested address.
        url: String,
        /// What is wrong with it.
        detail: String,
    },
}

impl Classify for CatalogError {
    fn failure(&self) -> Failure {
        match self {
            Self::Unavailable { .. } => Failure::Transient,
            Self::Unacceptable { .. } => Failure::Permanent,
        }
    }
}

/// The server of the catalog documents.
#[async_trait]
pub trait CatalogSource: Send + Sync {
    /// `/_catalog.json`, unless it still matches `etag`.
    async fn games(&self, etag: Option<&str>) -> Result<Fetched, CatalogError>;

    /// `/devcontainer/_catalog.json`, unless it still matches `etag`.
    async fn runtimes(&self, etag: Option<&str>) -> Result<Fetched, CatalogError>;
}
