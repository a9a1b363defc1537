//! Tracing setup and the metric registry of a process.

mod human;
mod logging;
mod metrics;
mod outage;
mod panics;

pub use logging::{LogFormat, LoggingError, init};
pub use metrics::{
    ClaimMiss, Described, FencedWrite, HttpMetrics, JobMetrics, LeaseMetrics, Loss, MEDIA_TYPE, MetricKind, Metrics,
    Outcome, PollerMetrics, Purpose, QueueGauge, Renewal, RunEnd, Store, StoreMetrics, TaskMetrics, TaskSeries,
};
pub use outage::Outage;
pub use panics::{Panicked, caught};
