//! The loop of one task: wait, run a pass, record its outcome.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::nudge::Nudge;
use super::schedule::{Passed, Schedule};
use super::task::{PassError, Report, Task};
use crate::kernel::Clock;
use crate::telemetry::{Outage, TaskMetrics};

/// Runs the loop of one task.
pub(super) struct Driver {
    pub(super) stop: CancellationToken,
    pub(super) nudge: Nudge,
    pub(super) metrics: TaskMetrics,
    pub(super) clock: Clock,
    /// How long a running pass may continue after `stop` has fired.
    pub(super) drain: Duration,
}

impl Driver {
    /// Runs passes of `task` until `stop` fires. A pass that is running then ends first, or is dropped after `drain`.
    pub(super) async fn drive(self, mut task: Box<dyn Task>) {
        let Self { stop, nudge, metrics, clock, drain } = self;
        let (name, schedule) = (task.name(), task.schedule());
        let series = metrics.began(name.task, name.subject, schedule.period(), clock.now());
        let outage = Outage::of(name.to_string());
        let mut failures = 0;
        let mut wait = schedule.before_first(rand::random());
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = nudge.requested() => {}
                () = tokio::time::sleep(wait) => {}
            }
            nudge.clear();
            let began = Instant::now();
            let passed = pass(&mut *task, &schedule, &stop, drain).await;
            if stop.is_cancelled() {
                return;
            }
            let took = began.elapsed();
            match passed {
                Ok(report) => {
                    failures = 0;
                    outage.works();
                    series.succeeded(report.done, took, clock.now());
                }
                Err(error) => {
                    failures += 1;
                    outage.failed(error);
                    series.failed(took);
                }
            }
            wait = schedule.after(Passed { took, failures }, rand::random());
        }
    }
}

/// Runs one pass. Drops it when it exceeds its timeout, or when `drain` has passed since `stop` fired.
async fn pass(
    task: &mut dyn Task,
    schedule: &Schedule,
    stop: &CancellationToken,
    drain: Duration,
) -> Result<Report, PassError> {
    let timeout = schedule.pass_timeout();
    let drained = async {
        stop.cancelled().await;
        tokio::time::sleep(drain).await;
    };
    tokio::select! {
        biased;
        passed = task.pass(stop) => passed,
        () = drained => Err(PassError::of("the pass did not end when the role stopped")),
        () = tokio::time::sleep(timeout) => Err(PassError::of(format!("the pass did not end within {timeout:?}"))),
    }
}
