//! Waiting between attempts, always up to a deadline.

use std::time::Duration;

use tokio::time::Instant;

use crate::kernel::Failure;
use crate::saga::{StepContext, Stopped};

/// A point in time up to which something may be tried, with growing waits between attempts.
#[derive(Clone, Debug)]
pub struct Deadline {
    until: Instant,
    next: Duration,
    longest: Duration,
}

impl Deadline {
    /// Attempts every `poll`, later every five times `poll`, for `timeout`.
    pub fn new(poll: Duration, timeout: Duration) -> Self {
        Self { until: Instant::now() + timeout, next: poll, longest: poll * 5 }
    }

    /// Waits before the next attempt. Returns false when there is no time left for one.
    pub async fn wait(&mut self, cx: &StepContext<'_>) -> Result<bool, Stopped> {
        if Instant::now() >= self.until {
            return Ok(false);
        }
        cx.wait(self.next).await?;
        self.next = self.next.mul_f64(1.5).min(self.longest);
        Ok(true)
    }

    /// Waits before a request that changes nothing when it is sent twice is sent again after `failure`. Returns false
    /// when it would fail in the same way or when there is no time left.
    pub async fn wait_after(&mut self, cx: &StepContext<'_>, failure: Failure) -> Result<bool, Stopped> {
        match failure {
            Failure::Transient | Failure::Busy | Failure::Ambiguous => self.wait(cx).await,
            Failure::Permanent | Failure::NeedsOperator => Ok(false),
        }
    }
}

/// Whether the same request may be sent again after a while.
pub const fn is_retryable(failure: Failure) -> bool {
    match failure {
        Failure::Transient | Failure::Busy => true,
        Failure::Ambiguous | Failure::Permanent | Failure::NeedsOperator => false,
    }
}
