//! How an HTTP call can fail: what is known of the request, not what it means for the peer.

/// Why a call has no complete answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TransportError {
    /// No connection was made: the peer has not received the request.
    #[error("not connected: {detail}")]
    NotSent {
        /// The cause.
        detail: String,
    },
    /// The request was sent and no answer arrived: the peer may have received it.
    #[error("no answer: {detail}")]
    NoAnswer {
        /// The cause.
        detail: String,
    },
    /// The answer broke off, or is larger than the limit: the peer has received the request.
    #[error("the answer with status {status} is incomplete: {detail}")]
    Incomplete {
        /// The HTTP status.
        status: u16,
        /// The reason phrase of the status line, if it is not the standard one.
        reason: Option<String>,
        /// The `Retry-After` header.
        retry_after: Option<String>,
        /// Whether the answer exceeded the limit, which it would do again.
        too_large: bool,
        /// Whether what arrived of it is the beginning of a page for people, as a firewall or a proxy in between sends it.
        is_page: bool,
        /// The cause.
        detail: String,
    },
}
