//! The metrics of a process, as typed handles to one registry. A role creates one [`Metrics`] and passes clones on;
//! there is no global. Label values come from closed sets (route patterns, queue names, variants of an enum), so that
//! the number of series stays small; no label names an operation, a server or an account.

mod book;
mod http;
mod jobs;
mod lease;
mod outcome;
mod poller;
mod stores;
mod tasks;

use std::fmt;
use std::sync::Arc;

use self::book::Book;
pub use self::book::{Described, MetricKind};
pub use self::http::HttpMetrics;
use self::jobs::JobFamilies;
pub use self::jobs::{ClaimMiss, FencedWrite, JobMetrics, Purpose, Renewal, RunEnd};
use self::lease::LeaseFamilies;
pub use self::lease::{LeaseMetrics, Loss};
pub use self::outcome::Outcome;
pub use self::poller::PollerMetrics;
pub use self::stores::{QueueGauge, Store, StoreMetrics};
pub use self::tasks::{TaskMetrics, TaskSeries};

/// The media type of [`Metrics::render`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics of a process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    book: Arc<Book>,
    /// Answered requests.
    pub http: HttpMetrics,
    /// The agent poller.
    pub poller: PollerMetrics,
    /// The database, Redis, and the queues in them.
    pub stores: StoreMetrics,
    /// The background tasks.
    pub tasks: TaskMetrics,
    jobs: JobFamilies,
    leases: LeaseFamilies,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut book = Book::new();
        let http = HttpMetrics::register(&mut book);
        let jobs = JobFamilies::register(&mut book);
        let stores = StoreMetrics::register(&mut book);
        let poller = PollerMetrics::register(&mut book);
        let leases = LeaseFamilies::register(&mut book);
        let tasks = TaskMetrics::register(&mut book);
        Self { book: Arc::new(book), http, poller, stores, tasks, jobs, leases }
    }
}

impl Metrics {
    /// The metrics of the worker of `queue`. Its series exist from now on, at zero.
    pub fn jobs(&self, queue: &'static str) -> JobMetrics {
        JobMetrics::new(self.jobs.clone(), queue)
    }

    /// The metrics of a candidate for `lease`.
    pub fn lease(&self, lease: &'static str) -> LeaseMetrics {
        LeaseMetrics::new(self.leases.clone(), lease)
    }

    /// Every metric a process can have, in the order they are rendered.
    pub fn described(&self) -> &[Described] {
        self.book.described()
    }

    /// All metrics as OpenMetrics text.
    pub fn render(&self) -> Result<String, fmt::Error> {
        self.book.render()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests;
