//! Waits between attempts, up to a deadline.

use std::time::Duration;

use tokio::time::Instant;

use crate::kernel::Failure;
use crate::saga::{StepContext, Stopped};

/// A time until which something is attempted, with growing waits between attempts.
#[derive(Clone, Debug)]
pub struct Deadline {
    until: Instant,
    next: Duration,
    longest: Duration,
}

impl Deadline {
    /// Attempts begin every `poll`, later every five times `poll`, until `timeout` is over.
    pub fn new(poll: Duration, timeout: Duration) -> Self {
        Self { until: Instant::now() + timeout, next: poll, longest: poll * 5 }
    }

    /// Waits before the next attempt. Returns false when the deadline has passed.
    pub async fn wait(&mut self, cx: &StepContext<'_>) -> Result<bool, Stopped> {
        if Instant::now() >= self.until {
            return Ok(false);
        }
        cx.wait(self.next).await?;
        self.next = self.next.mul_f64(1.5).min(self.longest);
        Ok(true)
    }

    /// Waits before an idempotent request is sent again after `failure`. Returns false when it would fail in the same
    /// way, or when the deadline has passed.
    pub async fn wait_after(&mut self, cx: &StepContext<'_>, failure: Failure) -> Result<bool, Stopped> {
        match failure {
            Failure::Transient | Failure::Busy | Failure::Ambiguous => self.wait(cx).await,
            Failure::Permanent | Failure::NeedsOperator => Ok(false),
        }
    }
}

/// Whether the same request may be sent again later.
pub const fn is_retryable(failure: Failure) -> bool {
    match failure {
        Failure::Transient | Failure::Busy => true,
        Failure::Ambiguous | Failure::Permanent | Failure::NeedsOperator => false,
    }
}
