//! The deadlines of a connection.

use std::time::Duration;

/// How long a connection may stay silent.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionDeadlines {
    /// For a request head to arrive after its first byte; for the first head, after the connection was accepted.
    pub head: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// For a client to take in more of an answer.
    pub write: Duration,
    /// For a client to close a connection that is finished.
    pub close: Duration,
}

impl Default for ConnectionDeadlines {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            // Longer than the proxies in front keep idle connections, so that it is they who close them.
            idle: Duration::from_secs(75),
            write: Duration::from_secs(30),
            close: Duration::from_secs(2),
        }
    }
}
