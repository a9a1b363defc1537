//! Which rate limit applies to a request (pure).

use std::time::Duration;

use crate::kernel::text_enum;

text_enum! {
    /// Which rate limit applies to a request.
    pub enum RateClass {
        /// None: health checks and our own machines.
        Free = "free",
        /// Requests that prove or change an identity.
        Auth = "auth",
        /// A new email address or username, whose refusal reveals that another account has it.
        Identity = "identity",
        /// Requests that only read.
        Read = "read",
        /// Requests that change something.
        Write = "write",
    }
}

/// The route that a request matched; in its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatchedRoute {
    /// Its path, with `{name}` for its variable parts.
    pub path: &'static str,
    /// The rate limit that the request draws on.
    pub rate: RateClass,
}

/// A number of requests at once, refilled evenly over a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The largest number of requests at once.
    pub requests: u32,
    /// The time in which a used-up allowance is refilled.
    pub window: Duration,
}

impl RateClass {
    /// The allowance of one client; `None` means unlimited.
    pub const fn allowance(self) -> Option<Allowance> {
        let minute = Duration::from_secs(60);
        match self {
            Self::Free => None,
            Self::Auth => Some(Allowance { requests: 20, window: minute }),
            Self::Identity => Some(Allowance { requests: 10, window: Duration::from_secs(3600) }),
            Self::Read => Some(Allowance { requests: 600, window: minute }),
            Self::Write => Some(Allowance { requests: 120, window: minute }),
        }
    }

    /// Whether all API processes share one count. Reads are cheap and not worth a Redis round trip each.
    pub const fn counts_together(self) -> bool {
        match self {
            Self::Auth | Self::Identity | Self::Write => true,
            Self::Free | Self::Read => false,
        }
    }
}

impl Allowance {
    /// The time in which one request is refilled, in milliseconds, at least one.
    pub fn interval_ms(&self) -> i64 {
        (self.window_ms() / i64::from(self.requests.max(1))).max(1)
    }

    /// The window in milliseconds.
    pub fn window_ms(&self) -> i64 {
        i64::try_from(self.window.as_millis()).unwrap_or(i64::MAX)
    }
}
