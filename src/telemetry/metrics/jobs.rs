//! The metrics of a worker: each series belongs to this process and one queue.

use std::time::Duration;

use prometheus_client::metrics::family::Family;

use super::book::{Book, Buckets, Counters, Gauges, Histograms};
use super::outcome::Outcome;
use crate::kernel::{Timestamp, text_enum};

const BUCKETS: Buckets = Buckets(&[0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0]);

text_enum! {
    /// The purpose of a claim.
    pub enum Purpose {
        /// To run it.
        Run = "run",
        /// To undo an interrupted run.
        Undo = "unwind",
    }
}

text_enum! {
    /// Why a received id could not be claimed.
    pub enum ClaimMiss {
        /// Its row may not start now: ended, owned, cancelled, paused, not due, or missing.
        NotDue = "not_due",
        /// Every slot of the queue is taken.
        NoSlot = "no_slot",
        /// This worker does not know its kind or payload version.
        UnknownKind = "unknown_kind",
        /// The database did not answer.
        Failed = "failed",
    }
}

text_enum! {
    /// The write at which the fence of an older owner was refused.
    pub enum FencedWrite {
        /// A renewal of its lease.
        Renewal = "renewal",
        /// A step.
        Run = "run",
        /// The end.
        End = "end",
    }
}

text_enum! {
    /// The outcome of a renewal.
    pub enum Renewal {
        /// Done in time.
        Renewed = "renewed",
        /// Done, but more than two intervals after the one before.
        Late = "late",
        /// Refused: another owner is current.
        Lost = "lost",
        /// The database did not answer.
        Failed = "failed",
    }
}

text_enum! {
    /// How a run, or an undo on its own, ended.
    pub enum RunEnd {
        /// It succeeded.
        Succeeded = "succeeded",
        /// It failed.
        Failed = "failed",
        /// It was cancelled.
        Cancelled = "cancelled",
        /// The worker stops; another one continues it.
        HandedBack = "handed_back",
        /// It runs again later.
        Again = "again",
        /// Its job panicked.
        Panicked = "panicked",
        /// Another owner took over, so nothing was written.
        Lost = "lost",
        /// An undo is complete.
        Undone = "unwound",
        /// An undo has to be retried later.
        UndoIncomplete = "unwind_incomplete",
    }
}

/// The families behind every [`JobMetrics`].
#[derive(Clone)]
pub(super) struct JobFamilies {
    claims: Counters<2>,
    misses: Counters<2>,
    refusals: Counters<2>,
    renewals: Counters<2>,
    stopped: Counters<1>,
    offered: Counters<1>,
    sweeps: Counters<2>,
    recovered: Counters<1>,
    panics: Counters<2>,
    deadlines: Counters<1>,
    reaped: Counters<1>,
    dropped: Counters<1>,
    keys_removed: Counters<1>,
    receive_failures: Counters<1>,
    receiving: Gauges<1>,
    running: Gauges<1>,
    runs: Histograms<2>,
}

const QUEUE: &[&str] = &["queue"];

impl JobFamilies {
    pub(super) fn register(book: &mut Book) -> Self {
        let runs = Family::new_with_constructor(BUCKETS);
        Self {
            claims: book.counter(
                "queue_claims",
                &["queue", "purpose"],
                "Operations that this worker claimed",
                Family::default(),
            ),
            misses: book.counter(
                "queue_claim_misses",
                &["queue", "reason"],
                "Received ids that were not claimed; some `not_due` and `no_slot` are normal",
                Family::default(),
            ),
            refusals: book.counter(
                "queue_fence_refusals",
                &["queue", "at"],
                "Writes refused because another owner is current; one operation can be refused at more than one place",
                Family::default(),
            ),
            renewals: book.counter(
                "queue_renewals",
                &["queue", "outcome"],
                "Renewals of leases; `late` means more than two intervals after the one before",
                Family::default(),
            ),
            stopped: book.counter(
                "queue_leases_overdue",
                QUEUE,
                "Operations that this worker stopped because their lease could not be renewed in time",
                Family::default(),
            ),
            offered: book.counter(
                "queue_offered",
                QUEUE,
                "Due operations that the sweeper put on the ready list, or found there",
                Family::default(),
            ),
            sweeps: book.counter(
                "queue_sweeps",
                &["queue", "outcome"],
                "Rounds of the sweeper, which guarantees that accepted operations run",
                Family::default(),
            ),
            recovered: book.counter(
                "queue_recovered",
                QUEUE,
                "Operations recovered from an owner whose lease expired",
                Family::default(),
            ),
            deadlines: book.counter(
                "queue_deadlines_exceeded",
                QUEUE,
                "Runs and undos that were asked to stop because the deadline of their kind had passed",
                Family::default(),
            ),
            panics: book.counter(
                "job_panics",
                &["queue", "purpose"],
                "Runs and undos of operations that panicked: each is a defect of zpack",
                Family::default(),
            ),
            reaped: book.counter(
                "queue_reaped",
                QUEUE,
                "Ids moved from the lists of dead workers back to the ready list",
                Family::default(),
            ),
            dropped: book.counter(
                "queue_entries_dropped",
                QUEUE,
                "Received entries that are not ids, or ids that this worker is handling already",
                Family::default(),
            ),
            keys_removed: book.counter(
                "queue_keys_removed",
                QUEUE,
                "Keys of the queue that had the wrong type and were removed",
                Family::default(),
            ),
            receive_failures: book.counter(
                "queue_receive_failures",
                QUEUE,
                "Failures of the blocking receive, each followed by a new connection",
                Family::default(),
            ),
            receiving: book.gauge(
                "queue_receive_timestamp_seconds",
                QUEUE,
                "When the receive loop last came round, with an id or without, in Unix time; it rests while every place of \
                 the worker is busy",
                Family::default(),
            ),
            running: book.gauge("queue_jobs_running", QUEUE, "Operations that this worker is running", Family::default()),
            runs: book.seconds("job_run", &["queue", "end"], "Duration of ended runs and undos of operations", runs),
        }
    }
}

/// The metrics of the worker of one queue.
#[derive(Clone)]
pub struct JobMetrics {
    all: JobFamilies,
    queue: &'static str,
}

impl JobMetrics {
    pub(super) fn new(all: JobFamilies, queue: &'static str) -> Self {
        let this = Self { all, queue };
        // If a counter appeared only at its first event, Prometheus would not see the increase.
        for purpose in Purpose::ALL {
            drop(this.all.claims.get_or_create(&this.with("purpose", purpose.as_str())));
            drop(this.all.panics.get_or_create(&this.with("purpose", purpose.as_str())));
        }
        for reason in ClaimMiss::ALL {
            drop(this.all.misses.get_or_create(&this.with("reason", reason.as_str())));
        }
        for at in FencedWrite::ALL {
            drop(this.all.refusals.get_or_create(&this.with("at", at.as_str())));
        }
        for outcome in Renewal::ALL {
            drop(this.all.renewals.get_or_create(&this.with("outcome", outcome.as_str())));
        }
        for outcome in Outcome::ALL {
            drop(this.all.sweeps.get_or_create(&this.with("outcome", outcome.as_str())));
        }
        let (stopped, offered, recovered) = (&this.all.stopped, &this.all.offered, &this.all.recovered);
        let (reaped, dropped, failures) = (&this.all.reaped, &this.all.dropped, &this.all.receive_failures);
        for family in
            [stopped, offered, recovered, reaped, dropped, &this.all.deadlines, &this.all.keys_removed, failures]
        {
            drop(family.get_or_create(&this.queue()));
        }
        drop(this.all.running.get_or_create(&this.queue()));
        drop(this.all.receiving.get_or_create(&this.queue()));
        this
    }

    fn queue(&self) -> [(&'static str, &'static str); 1] {
        [("queue", self.queue)]
    }

    fn with(&self, label: &'static str, value: &'static str) -> [(&'static str, &'static str); 2] {
        [("queue", self.queue), (label, value)]
    }

    /// Records a won claim.
    pub fn claimed(&self, purpose: Purpose) {
        self.all.claims.get_or_create(&self.with("purpose", purpose.as_str())).inc();
        self.all.running.get_or_create(&self.queue()).inc();
    }

    /// Records the end of a claimed operation.
    pub fn ended(&self, end: RunEnd, took: Duration) {
        self.all.running.get_or_create(&self.queue()).dec();
        self.all.runs.get_or_create(&self.with("end", end.as_str())).observe(took.as_secs_f64());
    }

    /// Records a received id that was not claimed.
    pub fn missed(&self, reason: ClaimMiss) {
        self.all.misses.get_or_create(&self.with("reason", reason.as_str())).inc();
    }

    /// Records a write that was refused because another owner is current.
    pub fn refused(&self, at: FencedWrite) {
        self.all.refusals.get_or_create(&self.with("at", at.as_str())).inc();
    }

    /// Records a renewal.
    pub fn renewal(&self, outcome: Renewal) {
        self.all.renewals.get_or_create(&self.with("outcome", outcome.as_str())).inc();
    }

    /// Records that `count` operations were stopped because their lease could not be renewed in time.
    pub fn overdue(&self, count: u64) {
        self.all.stopped.get_or_create(&self.queue()).inc_by(count);
    }

    /// Records a round of the sweeper.
    pub fn swept(&self, outcome: Outcome) {
        self.all.sweeps.get_or_create(&self.with("outcome", outcome.as_str())).inc();
    }

    /// Records that `count` due operations were offered again.
    pub fn offered(&self, count: u64) {
        self.all.offered.get_or_create(&self.queue()).inc_by(count);
    }

    /// Records that `count` operations were recovered.
    pub fn recovered(&self, count: u64) {
        self.all.recovered.get_or_create(&self.queue()).inc_by(count);
    }

    /// Records that a run or an undo was asked to stop because its deadline had passed.
    pub fn deadline_exceeded(&self) {
        self.all.deadlines.get_or_create(&self.queue()).inc();
    }

    /// Records that a run or an undo panicked.
    pub fn panicked(&self, purpose: Purpose) {
        self.all.panics.get_or_create(&self.with("purpose", purpose.as_str())).inc();
    }

    /// Records that `count` ids of dead workers were moved back.
    pub fn reaped(&self, count: u64) {
        self.all.reaped.get_or_create(&self.queue()).inc_by(count);
    }

    /// Records an entry that was dropped.
    pub fn dropped(&self) {
        self.all.dropped.get_or_create(&self.queue()).inc();
    }

    /// Records that `count` keys of the wrong type were removed.
    pub fn keys_removed(&self, count: u64) {
        self.all.keys_removed.get_or_create(&self.queue()).inc_by(count);
    }

    /// Records that the blocking receive failed.
    pub fn receive_failed(&self) {
        self.all.receive_failures.get_or_create(&self.queue()).inc();
    }

    /// Records an iteration of the receive loop.
    pub fn receiving(&self, now: Timestamp) {
        self.all.receiving.get_or_create(&self.queue()).set(now.seconds());
    }
}
