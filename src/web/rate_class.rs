//! Which allowance a request draws on (pure).

use std::time::Duration;

use crate::kernel::text_enum;

text_enum! {
    /// Which allowance a request draws on.
    pub enum RateClass {
        /// None: health checks and our own machines.
        Free = "free",
        /// What proves or changes who someone is.
        Auth = "auth",
        /// What only looks.
        Read = "read",
        /// What changes something.
        Write = "write",
    }
}

/// So many requests at once, refilled evenly over a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The most requests at once.
    pub requests: u32,
    /// How long until all of them are back.
    pub window: Duration,
}

impl RateClass {
    /// The allowance of one client; none means no bound.
    pub const fn allowance(self) -> Option<Allowance> {
        let minute = Duration::from_secs(60);
        match self {
            Self::Free => None,
            Self::Auth => Some(Allowance { requests: 20, window: minute }),
            Self::Read => Some(Allowance { requests: 600, window: minute }),
            Self::Write => Some(Allowance { requests: 120, window: minute }),
        }
    }

    /// Whether all API processes count together; reads are cheap, and not worth a round trip each.
    pub const fn counts_together(self) -> bool {
        match self {
            Self::Auth | Self::Write => true,
            Self::Free | Self::Read => false,
        }
    }
}

impl Allowance {
    /// How long until one request is back, in milliseconds, at least one.
    pub fn interval_ms(&self) -> i64 {
        (self.window_ms() / i64::from(self.requests.max(1))).max(1)
    }

    /// The window in milliseconds.
    pub fn window_ms(&self) -> i64 {
        i64::try_from(self.window.as_millis()).unwrap_or(i64::MAX)
    }
}
