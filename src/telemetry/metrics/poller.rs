//! The agent poller.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::book::{Book, Buckets, Gauges, Histograms};
use super::outcome::Outcome;
use crate::kernel::Timestamp;

const BUCKETS: Buckets = Buckets(&[0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0]);

/// The metrics of the agent poller.
#[derive(Clone)]
pub struct PollerMetrics {
    polls: Histograms<1>,
    overlaps: Counter,
    skipped_rounds: Counter,
    round: Gauges<0>,
    failed_listings: Counter,
}

impl PollerMetrics {
    pub(super) fn register(book: &mut Book) -> Self {
        let polls = Family::new_with_constructor(BUCKETS);
        let overlaps = "Agents that were due while their last poll was still waiting or running";
        let skipped = "Rounds skipped because the database or Redis was unavailable";
        let round = "When the last successful round over all agents began, in Unix time";
        let listings = "Failed listings of all containers at the hypervisor";
        Self {
            polls: book.seconds("agent_poll", &["outcome"], "Duration of polls of agents", polls),
            overlaps: book.counter("agent_polls_overlapped", &[], overlaps, Counter::default()),
            skipped_rounds: book.counter("agent_poll_rounds_skipped", &[], skipped, Counter::default()),
            round: book.gauge("agent_poll_round_timestamp_seconds", &[], round, Family::default()),
            failed_listings: book.counter("host_listings_failed", &[], listings, Counter::default()),
        }
    }

    /// Records a poll of an agent.
    pub fn polled(&self, outcome: Outcome, took: Duration) {
        self.polls.get_or_create(&[("outcome", outcome.as_str())]).observe(took.as_secs_f64());
    }

    /// Records that an agent was due again before its last poll had ended.
    pub fn overlapped(&self) {
        self.overlaps.inc();
    }

    /// Records a round without polls, because the database or Redis was unavailable.
    pub fn round_skipped(&self) {
        self.skipped_rounds.inc();
    }

    /// Records the beginning of a round over all agents.
    pub fn round_done(&self, now: Timestamp) {
        self.round.get_or_create(&[]).set(now.seconds());
    }

    /// Records a failed listing of the containers.
    pub fn listing_failed(&self) {
        self.failed_listings.inc();
    }
}
