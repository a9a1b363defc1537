//! The metrics of the database, of Redis, and of the queues in them.

use prometheus_client::metrics::family::Family;

use super::book::{Book, Counters, Gauges};
use crate::kernel::{Timestamp, text_enum};

text_enum! {
    /// A store of ours.
    pub enum Store {
        /// The database.
        Database = "database",
        /// Redis.
        Redis = "redis",
    }
}

/// Defines [`QueueGauge`]: name of the metric and its help, one line each.
macro_rules! queue_gauges {
    ($($variant:ident $name:literal $help:literal;)+) => {
        /// The state of a queue, across all workers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum QueueGauge { $(#[doc = $help] $variant),+ }

        impl QueueGauge {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help),+ }
            }
        }
    };
}

queue_gauges! {
    Ready "queue_ready" "Ids on the ready list in Redis";
    Processing "queue_processing" "Ids that registered workers have received and not acknowledged";
    Workers "queue_workers" "Workers with a heartbeat in time";
    DeadWorkers "queue_workers_dead" "Registered workers without a heartbeat in time, until the reaper has emptied their lists";
    Due "queue_due" "Operations that may start now, undos included";
    OldestDue "queue_oldest_due_age_seconds" "How long the oldest of them has been due; 0 when none is";
    Running "queue_running" "Operations that a worker owns, undos included";
    Slots "queue_slots" "Operations that may run at a time, over all workers";
    SlotsTaken "queue_slots_taken" "How many of those slots are taken";
    Paused "queue_paused" "1 while the queue hands out nothing";
    Dead "queue_dead" "Dead operations, and stale ones that are not undone yet";
    Debts "queue_debts" "Operations with open debts";
}

/// The metrics of the stores. A process that does not observe them has no series.
#[derive(Clone)]
pub struct StoreMetrics {
    observed: Gauges<1>,
    queues: Vec<Gauges<1>>,
    connections: Gauges<1>,
    connection_limit: Gauges<0>,
    redis_used: Gauges<0>,
    redis_limit: Gauges<0>,
    redis_fit: Gauges<0>,
    purged: Counters<1>,
    skipped: Gauges<1>,
    debts: Gauges<1>,
    debt_age: Gauges<1>,
    blocked: Gauges<1>,
}

impl StoreMetrics {
    pub(super) fn register(book: &mut Book) -> Self {
        let observed = "When the gauges about this store were last read, in Unix time; while the store is unavailable they keep their value";
        let queues = QueueGauge::ALL;
        let connections =
            "Connections of the pool of the process to the database: `idle`, or `busy` in a query or transaction";
        Self {
            observed: book.gauge("observed_timestamp_seconds", &["store"], observed, Family::default()),
            queues: queues.iter().map(|of| book.gauge(of.name(), &["queue"], of.help(), Family::default())).collect(),
            connections: book.gauge("database_connections", &["state"], connections, Family::default()),
            connection_limit: book.gauge(
                "database_connections_max",
                &[],
                "The largest number of connections of the pool",
                Family::default(),
            ),
            redis_used: book.gauge("redis_memory_used_bytes", &[], "Memory that Redis uses", Family::default()),
            redis_limit: book.gauge(
                "redis_memory_max_bytes",
                &[],
                "Memory that Redis may use; 0 for no limit",
                Family::default(),
            ),
            redis_fit: book.gauge(
                "redis_noeviction",
                &[],
                "1 while Redis keeps every key when memory is short, as queues demand",
                Family::default(),
            ),
            purged: book.counter(
                "rows_purged",
                &["table"],
                "Rows that were deleted or archived because their retention is over",
                Family::default(),
            ),
            skipped: book.gauge(
                "rows_skipped",
                &["table"],
                "Rows that this process could not read and skipped since it started, and unfinished operations of a newer release",
                Family::default(),
            ),
            debts: book.gauge("debts_open", &["kind"], "Open debts", Family::default()),
            debt_age: book.gauge(
                "debts_oldest_age_seconds",
                &["kind"],
                "Age of the oldest open debt; 0 when there is none",
                Family::default(),
            ),
            blocked: book.gauge(
                "edge_servers_blocked",
                &["target"],
                "Servers that an edge target does not publish or unpublish until an operator acts",
                Family::default(),
            ),
        }
    }

    /// Records when `store` was observed.
    pub fn observed(&self, store: Store, now: Timestamp) {
        self.observed.get_or_create(&[("store", store.as_str())]).set(now.seconds());
    }

    /// Records a fact about a queue.
    pub fn queue(&self, queue: &'static str, gauge: QueueGauge, value: u64) {
        if let Some(family) = self.queues.get(gauge as usize) {
            family.get_or_create(&[("queue", queue)]).set(whole(value));
        }
    }

    /// Records the pool of the process: at most `limit` connections, of which `open` exist and `idle` are unused.
    pub fn connections(&self, limit: u64, open: u64, idle: u64) {
        self.connection_limit.get_or_create(&[]).set(whole(limit));
        self.connections.get_or_create(&[("state", "idle")]).set(whole(idle));
        self.connections.get_or_create(&[("state", "busy")]).set(whole(open.saturating_sub(idle)));
    }

    /// Records the memory of Redis in bytes, and whether it keeps every key.
    pub fn redis_memory(&self, used: u64, limit: u64, noeviction: bool) {
        self.redis_used.get_or_create(&[]).set(whole(used));
        self.redis_limit.get_or_create(&[]).set(whole(limit));
        self.redis_fit.get_or_create(&[]).set(i64::from(noeviction));
    }

    /// Records that this process has skipped `count` rows of `table`.
    pub fn skipped(&self, table: &'static str, count: u64) {
        self.skipped.get_or_create(&[("table", table)]).set(whole(count));
    }

    /// Records that `count` debts of a kind are open, the oldest of them for `age` seconds.
    pub fn debts(&self, kind: &'static str, count: u64, age: u64) {
        self.debts.get_or_create(&[("kind", kind)]).set(whole(count));
        self.debt_age.get_or_create(&[("kind", kind)]).set(whole(age));
    }

    /// Records that `servers` servers are blocked at a target of the edge.
    pub fn blocked(&self, target: &'static str, servers: u64) {
        self.blocked.get_or_create(&[("target", target)]).set(whole(servers));
    }

    /// Records that `rows` rows of `table` were deleted or archived.
    pub fn purged(&self, table: &'static str, rows: u64) {
        self.purged.get_or_create(&[("table", table)]).inc_by(rows);
    }
}

fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
