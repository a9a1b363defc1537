//! The loop of one task: wait, pass, note how it went.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::nudge::Nudge;
use super::schedule::{Passed, Schedule};
use super::task::{Report, Task, Trouble};
use crate::kernel::Clock;
use crate::telemetry::{Outage, TaskMetrics};

/// What a task is driven with.
pub(super) struct Driver {
    pub(super) stop: CancellationToken,
    pub(super) nudge: Nudge,
    pub(super) metrics: TaskMetrics,
    pub(super) clock: Clock,
    /// How long a pass may go on once `stop` fired.
    pub(super) drain: Duration,
}

impl Driver {
    /// Gives `task` its passes until `stop` fires and the pass of that moment has ended or was dropped.
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
                () = nudge.nudged() => {}
                () = tokio::time::sleep(wait) => {}
            }
            nudge.answered();
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
                Err(trouble) => {
                    failures += 1;
                    outage.failed(trouble);
                    series.failed(took);
                }
            }
            wait = schedule.after(Passed { took, failures }, rand::random());
        }
    }
}

/// One pass, which is dropped when it takes too long, be it since it began or since `stop` fired.
async fn pass(
    task: &mut dyn Task,
    schedule: &Schedule,
    stop: &CancellationToken,
    drain: Duration,
) -> Result<Report, Trouble> {
    let limit = schedule.limit();
    let drained = async {
        stop.cancelled().await;
        tokio::time::sleep(drain).await;
    };
    tokio::select! {
        biased;
        passed = task.pass(stop) => passed,
        () = drained => Err(Trouble::of("it did not end when the role stopped")),
        () = tokio::time::sleep(limit) => Err(Trouble::of(format!("a pass did not end within {limit:?}"))),
    }
}
