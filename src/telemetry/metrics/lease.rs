//! The metrics of leader election and of the leader's work.

use std::time::Duration;

use prometheus_client::metrics::family::Family;

use super::book::{Book, Buckets, Counters, Gauges, Histograms};
use super::outcome::Outcome;
use crate::kernel::text_enum;

const TICKS: Buckets = Buckets(&[0.01, 0.05, 0.2, 1.0, 5.0, 15.0, 60.0]);
const ROUND_TRIPS: Buckets = Buckets(&[0.000_5, 0.002, 0.01, 0.05, 0.2, 1.0, 2.0]);

text_enum! {
    /// Why a leader lost its lease.
    pub enum Loss {
        /// The lock in Redis is not ours.
        Lock = "lock",
        /// It could not be renewed in time.
        Expired = "expired",
        /// The database knows a newer leader.
        Epoch = "epoch",
    }
}

#[derive(Clone)]
pub(super) struct LeaseFamilies {
    leader: Gauges<1>,
    transitions: Counters<1>,
    lost: Counters<2>,
    ticks: Histograms<2>,
    round_trips: Histograms<2>,
}

impl LeaseFamilies {
    pub(super) fn register(book: &mut Book) -> Self {
        let ticks = Family::new_with_constructor(TICKS);
        let round_trips = Family::new_with_constructor(ROUND_TRIPS);
        let leader = "1 while this process leads; the sum over all processes is 1";
        let transitions = "How often this process became the leader or ceased to be it";
        let lost = "How often this process lost the leadership involuntarily";
        let lock = "Duration of commands to Redis about the lock";
        Self {
            leader: book.gauge("lease_leader", &["lease"], leader, Family::default()),
            transitions: book.counter("lease_transitions", &["lease"], transitions, Family::default()),
            lost: book.counter("lease_lost", &["lease", "why"], lost, Family::default()),
            ticks: book.seconds("lease_tick", &["lease", "outcome"], "Duration of the leader's ticks", ticks),
            round_trips: book.seconds("lease_lock_rtt", &["lease", "outcome"], lock, round_trips),
        }
    }
}

/// The metrics of one lease.
#[derive(Clone)]
pub struct LeaseMetrics {
    families: LeaseFamilies,
    lease: &'static str,
}

impl LeaseMetrics {
    pub(super) fn new(families: LeaseFamilies, lease: &'static str) -> Self {
        families.leader.get_or_create(&[("lease", lease)]).set(0);
        drop(families.transitions.get_or_create(&[("lease", lease)]));
        for why in Loss::ALL {
            drop(families.lost.get_or_create(&[("lease", lease), ("why", why.as_str())]));
        }
        Self { families, lease }
    }

    /// Records that this process became the leader.
    pub fn began(&self) {
        self.families.leader.get_or_create(&[("lease", self.lease)]).set(1);
        self.families.transitions.get_or_create(&[("lease", self.lease)]).inc();
    }

    /// Records that it is not the leader any more: it resigned, or `loss` says why it lost the lease.
    pub fn ceased(&self, loss: Option<Loss>) {
        self.families.leader.get_or_create(&[("lease", self.lease)]).set(0);
        self.families.transitions.get_or_create(&[("lease", self.lease)]).inc();
        if let Some(why) = loss {
            self.families.lost.get_or_create(&[("lease", self.lease), ("why", why.as_str())]).inc();
        }
    }

    /// Records a tick of the leader.
    pub fn ticked(&self, outcome: Outcome, took: Duration) {
        let labels = [("lease", self.lease), ("outcome", outcome.as_str())];
        self.families.ticks.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Records a command about the lock; failed means without an answer.
    pub fn asked(&self, outcome: Outcome, took: Duration) {
        let labels = [("lease", self.lease), ("outcome", outcome.as_str())];
        self.families.round_trips.get_or_create(&labels).observe(took.as_secs_f64());
    }
}
