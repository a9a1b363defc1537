//! What an error means for the caller: try again, give up, or ask a person.

/// The class of an error. Callers decide by class, never by the text of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It surely had no effect and may work later: repeat with backoff.
    Transient,
    /// The peer is occupied with the same object: repeat with backoff, the peer is healthy.
    Busy,
    /// It may or may not have taken effect: observe the world before anything is repeated.
    Ambiguous,
    /// It will fail the same way again.
    Permanent,
    /// It needs a person: credentials, permissions, quota, a stale lock.
    NeedsOperator,
}

/// Errors that know their [`Failure`] class.
pub trait Classify {
    /// The class of this error. Implementations match every variant.
    fn failure(&self) -> Failure;
}
