//! The metrics of background tasks.

use std::time::Duration;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::book::{Book, Buckets, Counters, Gauges, Histograms};
use super::outcome::Outcome;
use crate::kernel::Timestamp;

const PASSES: Buckets = Buckets(&[0.01, 0.1, 1.0, 10.0, 60.0, 300.0]);

/// The metrics of background tasks.
#[derive(Clone)]
pub struct TaskMetrics {
    succeeded: Gauges<2>,
    period: Family<[(&'static str, &'static str); 2], Gauge<f64, std::sync::atomic::AtomicU64>>,
    passes: Histograms<3>,
    done: Counters<2>,
}

impl TaskMetrics {
    pub(super) fn register(book: &mut Book) -> Self {
        let labels = &["task", "subject"];
        let succeeded =
            "When a pass of the task last succeeded, in Unix time; before the first one, when the task began";
        let period = "Time between two passes of the task";
        let passes = Family::new_with_constructor(PASSES);
        let done = "Items that passes of the task have handled: servers, debts, records or rows";
        Self {
            succeeded: book.gauge("task_last_success_timestamp_seconds", labels, succeeded, Family::default()),
            period: book.gauge("task_period_seconds", labels, period, Family::default()),
            passes: book.seconds("task_pass", &["task", "subject", "outcome"], "Passes of background tasks", passes),
            done: book.counter("task_items_done", labels, done, Family::default()),
        }
    }

    /// The series of one task; they exist from now on.
    pub fn began(&self, task: &'static str, subject: &'static str, period: Duration, now: Timestamp) -> TaskSeries {
        let labels = [("task", task), ("subject", subject)];
        self.succeeded.get_or_create(&labels).set(now.seconds());
        self.period.get_or_create(&labels).set(period.as_secs_f64());
        drop(self.done.get_or_create(&labels));
        TaskSeries { metrics: self.clone(), task, subject }
    }
}

/// The series of one task.
#[derive(Clone)]
pub struct TaskSeries {
    metrics: TaskMetrics,
    task: &'static str,
    subject: &'static str,
}

impl TaskSeries {
    /// Records a successful pass that handled `done` items and ended at `now`.
    pub fn succeeded(&self, done: u64, took: Duration, now: Timestamp) {
        let labels = [("task", self.task), ("subject", self.subject)];
        self.metrics.succeeded.get_or_create(&labels).set(now.seconds());
        self.metrics.done.get_or_create(&labels).inc_by(done);
        self.passed(Outcome::Succeeded, took);
    }

    /// Records a pass that failed.
    pub fn failed(&self, took: Duration) {
        self.passed(Outcome::Failed, took);
    }

    fn passed(&self, outcome: Outcome, took: Duration) {
        let labels = [("task", self.task), ("subject", self.subject), ("outcome", outcome.as_str())];
        self.metrics.passes.get_or_create(&labels).observe(took.as_secs_f64());
    }
}
