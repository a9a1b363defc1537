//! Waiting: for a task of the hypervisor to end, and between attempts, always up to a deadline.

use std::time::Duration;

use tokio::time::Instant;

use crate::kernel::Failure;
use crate::ports::{Task, TaskEnd, TaskState};
use crate::saga::{StepContext, Stopped};

use super::run::Run;

/// A point in time up to which something may be tried, with growing waits between attempts.
pub(super) struct Patience {
    until: Instant,
    next: Duration,
    longest: Duration,
}

impl Patience {
    /// Attempts every `poll`, later every five times `poll`, for `span`.
    pub(super) fn new(poll: Duration, span: Duration) -> Self {
        Self { until: Instant::now() + span, next: poll, longest: poll * 5 }
    }

    /// Waits before the next attempt. Returns false when there is no time left for one.
    pub(super) async fn again(&mut self, cx: &StepContext<'_>) -> Result<bool, Stopped> {
        if Instant::now() >= self.until {
            return Ok(false);
        }
        cx.wait(self.next).await?;
        self.next = self.next.mul_f64(1.5).min(self.longest);
        Ok(true)
    }

    /// Waits before a request that changes nothing when it is sent twice is sent again after `failure`. Returns false
    /// when it would fail in the same way or when there is no time left.
    pub(super) async fn again_after(&mut self, cx: &StepContext<'_>, failure: Failure) -> Result<bool, Stopped> {
        match failure {
            Failure::Transient | Failure::Busy | Failure::Ambiguous => self.again(cx).await,
            Failure::Permanent | Failure::NeedsOperator => Ok(false),
        }
    }
}

/// The usual patience with the hypervisor.
pub(super) fn patience(run: &Run) -> Patience {
    let timings = &run.deps.policy.timings;
    Patience::new(timings.task_poll, timings.task_timeout)
}

/// Waits for the end of `task`. Failures to ask say nothing about the task and are asked again; `None` when it did not
/// end in time.
pub(super) async fn wait_for(run: &Run, cx: &StepContext<'_>, task: &Task) -> Result<Option<TaskEnd>, Stopped> {
    let mut patience = patience(run);
    loop {
        match run.deps.hypervisor.task(task).await {
            Ok(TaskState::Ended(end)) => return Ok(Some(end)),
            Ok(TaskState::Running) => {}
            Err(error) => tracing::debug!(operation.id = %run.operation(), %error, "could not ask for a task"),
        }
        if !patience.again(cx).await? {
            return Ok(None);
        }
    }
}
