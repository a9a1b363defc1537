//! What a process counts and measures, as typed handles over one registry. A role makes one [`Metrics`] and passes clones
//! on; there is no global. Labels come from closed sets (route patterns, queue names), so the series stay few.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// The media type of [`Metrics::render`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Outcome {
    /// As wanted.
    Succeeded,
    /// Not as wanted.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Run {
    queue: &'static str,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Poll {
    outcome: Outcome,
}

/// Makes histograms with the same upper bounds, in seconds.
#[derive(Clone, Copy)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

const REQUEST_SECONDS: Buckets = Buckets(&[0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0]);
const JOB_SECONDS: Buckets = Buckets(&[0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0]);
const POLL_SECONDS: Buckets = Buckets(&[0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0]);

/// The metrics of a process.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    requests: Family<Route, Histogram, Buckets>,
    runs: Family<Run, Histogram, Buckets>,
    polls: Family<Poll, Histogram, Buckets>,
    swept: Counter,
    skipped_rounds: Counter,
    failed_listings: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("zpack");
        let requests = Family::new_with_constructor(REQUEST_SECONDS);
        let runs = Family::new_with_constructor(JOB_SECONDS);
        let polls = Family::new_with_constructor(POLL_SECONDS);
        let swept = Counter::default();
        let skipped_rounds = Counter::default();
        let failed_listings = Counter::default();
        registry.register_with_unit("http_request", "Answered HTTP requests", Unit::Seconds, requests.clone());
        registry.register_with_unit("job_run", "Ended runs of operations", Unit::Seconds, runs.clone());
        registry.register_with_unit("agent_poll", "Looks at agents", Unit::Seconds, polls.clone());
        registry.register("operations_swept", "Due operations offered to the workers again", swept.clone());
        let skipped = "Rounds of the agent poller that database or Redis did not allow";
        registry.register("agent_poll_rounds_skipped", skipped, skipped_rounds.clone());
        registry.register("host_listings_failed", "Listings of containers that failed", failed_listings.clone());
        Self { registry: Arc::new(registry), requests, runs, polls, swept, skipped_rounds, failed_listings }
    }
}

impl Metrics {
    /// Records an answered request; `route` is the pattern, such as `/api/servers/{id}`, never the path itself.
    pub fn request(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let labels = Route { method, route: route.to_owned(), status };
        self.requests.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Records a run of an operation that ended.
    pub fn run(&self, queue: &'static str, outcome: Outcome, took: Duration) {
        self.runs.get_or_create(&Run { queue, outcome }).observe(took.as_secs_f64());
    }

    /// Records a look at an agent.
    pub fn poll(&self, outcome: Outcome, took: Duration) {
        self.polls.get_or_create(&Poll { outcome }).observe(took.as_secs_f64());
    }

    /// Records that `count` due operations had to be offered again.
    pub fn swept(&self, count: u64) {
        self.swept.inc_by(count);
    }

    /// Records that no agent could be asked in a round, because the database or Redis was away.
    pub fn poll_round_skipped(&self) {
        self.skipped_rounds.inc();
    }

    /// Records that the hypervisor did not list its containers.
    pub fn host_listing_failed(&self) {
        self.failed_listings.inc();
    }

    /// Everything as OpenMetrics text.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clones_record_is_rendered_together() {
        let metrics = Metrics::default();
        metrics.clone().request("GET", "/api/servers/{id}", 200, Duration::from_millis(3));
        metrics.request("GET", "/api/servers/{id}", 200, Duration::from_secs(20));
        metrics.run("provision", Outcome::Failed, Duration::from_secs(2));
        metrics.poll(Outcome::Succeeded, Duration::ZERO);
        metrics.swept(3);
        let text = metrics.render().unwrap();
        for line in [
            r#"zpack_http_request_seconds_count{method="GET",route="/api/servers/{id}",status="200"} 2"#,
            r#"zpack_http_request_seconds_bucket{le="0.005",method="GET",route="/api/servers/{id}",status="200"} 1"#,
            r#"zpack_job_run_seconds_count{queue="provision",outcome="Failed"} 1"#,
            r#"zpack_agent_poll_seconds_count{outcome="Succeeded"} 1"#,
            "zpack_operations_swept_total 3",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
