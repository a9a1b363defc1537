//! Why a document of the catalog is unavailable.

use std::time::Duration;

use super::parse::MalformedDocument;
use super::select::NotInCatalog;
use crate::kernel::{Classify, Failure};
use crate::ports::CatalogError;
use crate::web::{ApiError, Code, FieldError};

/// A document could not be refreshed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RefreshError {
    /// The source could not be read.
    #[error("the catalog document `{document}` could not be fetched")]
    Source {
        /// The document.
        document: &'static str,
        /// The cause.
        source: CatalogError,
    },
    /// The source's answer is malformed.
    #[error("the catalog document `{document}` is malformed")]
    Malformed {
        /// The document.
        document: &'static str,
        /// What is wrong.
        source: MalformedDocument,
    },
    /// The source answered that nothing has changed, but there is no copy.
    #[error("the catalog document `{document}` was reported as unchanged, but there is no copy of it")]
    NothingToKeep {
        /// The document.
        document: &'static str,
    },
    /// The refresh took too long or was cancelled.
    #[error("the refresh of the catalog document `{document}` did not finish")]
    Interrupted {
        /// The document.
        document: &'static str,
    },
}

impl Classify for RefreshError {
    fn failure(&self) -> Failure {
        match self {
            Self::Source { source, .. } => source.failure(),
            Self::Malformed { .. } => Failure::NeedsOperator,
            Self::NothingToKeep { .. } | Self::Interrupted { .. } => Failure::Transient,
        }
    }
}

/// There is no copy of a document that may be served.
#[derive(Clone, Debug, thiserror::Error)]
#[error("there is no copy of the catalog document `{document}` that is recent enough")]
pub struct CatalogUnavailable {
    /// The document.
    pub document: &'static str,
    /// When to try again.
    pub retry_after: Duration,
    /// Why it could not be fetched.
    pub source: Option<RefreshError>,
}

impl Classify for CatalogUnavailable {
    fn failure(&self) -> Failure {
        Failure::Transient
    }
}

impl From<CatalogUnavailable> for ApiError {
    /// Not logged here: the background task that refreshes the catalog logs the outage.
    fn from(error: CatalogUnavailable) -> Self {
        ApiError::new(Code::CatalogUnavailable, "The catalog cannot be read right now. Please try again shortly.")
            .retry_after(error.retry_after)
    }
}

impl From<&NotInCatalog> for FieldError {
    fn from(refusal: &NotInCatalog) -> Self {
        FieldError { pointer: format!("/{}", refusal.field), message: refusal.to_string() }
    }
}
