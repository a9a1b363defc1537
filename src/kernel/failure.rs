//! What an error means for the caller: retry, stop, or wait for an operator.

/// The class of an error. Callers decide by class, never by the text of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It had no effect and may work later: retry with backoff.
    Transient,
    /// The peer is healthy but busy with the same object: retry with backoff.
    Busy,
    /// It may or may not have taken effect: observe the state of the peer before a retry.
    Ambiguous,
    /// A retry would fail in the same way.
    Permanent,
    /// It needs an operator: credentials, permissions, quota, a stale lock.
    NeedsOperator,
}

/// Errors that know their [`Failure`] class.
pub trait Classify {
    /// The class of this error. Implementations match every variant.
    fn failure(&self) -> Failure;
}
