//! The deadlines of a connection.

use std::time::Duration;

/// How long each phase of a connection may take.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionDeadlines {
    /// For the rest of a request head to arrive after its first byte; for the first head, counted from the accepted
    /// connection.
    pub head: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// For a client to read more of a response.
    pub write: Duration,
    /// For a client to close a finished connection.
    pub close: Duration,
}

impl Default for ConnectionDeadlines {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            // Longer than reverse proxies keep idle connections, so that the proxy closes them first.
            idle: Duration::from_secs(75),
            write: Duration::from_secs(30),
            close: Duration::from_secs(2),
        }
    }
}
