//! Why a document of the catalog cannot be had.

use std::time::Duration;

use super::parse::MalformedDocument;
use super::select::NotInCatalog;
use crate::kernel::{Classify, Failure};
use crate::ports::CatalogError;
use crate::web::{ApiError, Code, FieldError};

/// A document could not be brought up to date.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RefreshError {
    /// The source did not give it.
    #[error("the catalog document `{document}` could not be fetched")]
    Source {
        /// The document.
        document: &'static str,
        /// Why.
        source: CatalogError,
    },
    /// The source gave something else.
    #[error("the catalog document `{document}` is malformed")]
    Malformed {
        /// The document.
        document: &'static str,
        /// What was wrong.
        source: MalformedDocument,
    },
    /// The source says nothing changed, but there is no copy that could be unchanged.
    #[error("the catalog document `{document}` is said to be unchanged, but there is no copy of it")]
    NothingToKeep {
        /// The document.
        document: &'static str,
    },
    /// The refresh took too long or was cut off.
    #[error("the refresh of the catalog document `{document}` did not end")]
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
#[error("there is no copy of the catalog document `{document}` that is young enough")]
pub struct CatalogUnavailable {
    /// The document.
    pub document: &'static str,
    /// When to ask again.
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
    /// Not logged here: the task that refreshes the catalog logs its outage.
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
