//! Reads the stores into the gauges of the process, so that a scrape waits for no store.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use sea_orm::{DatabaseConnection, DbErr, EntityName};
use tokio_util::sync::CancellationToken;

use crate::background::{PassError, Report, Schedule, Task, TaskName};
use crate::db;
use crate::db::entities::debt::DebtKind;
use crate::db::entities::operation;
use crate::edge::Target;
use crate::jobs::{Lists, Queue, queue_statuses, redis_memory, unreadable_rows};
use crate::kernel::{Clock, Timestamp};
use crate::publishing::blocked;
use crate::teardown::debts::open_debts;
use crate::telemetry::{QueueGauge, Store, StoreMetrics};

/// About every ten seconds, with a timeout of five.
const SCHEDULE: Schedule = Schedule::every(Duration::from_secs(10)).jitter(0.2).timeout(Duration::from_secs(5));

/// Reads the database into gauges.
pub(in super::super) struct DatabaseGauges {
    pub(in super::super) db: DatabaseConnection,
    pub(in super::super) clock: Clock,
    pub(in super::super) metrics: StoreMetrics,
}

#[async_trait]
impl Task for DatabaseGauges {
    fn name(&self) -> TaskName {
        TaskName::of("database-gauges")
    }

    fn schedule(&self) -> Schedule {
        SCHEDULE
    }

    async fn pass(&mut self, stop: &CancellationToken) -> Result<Report, PassError> {
        if let Some(read) = stop.run_until_cancelled(read_database(&self.db, &self.metrics)).await {
            read?;
            self.metrics.observed(Store::Database, self.clock.now());
        }
        Ok(Report::default())
    }
}

/// Reads Redis into gauges.
pub(in super::super) struct RedisGauges {
    pub(in super::super) lists: Lists,
    pub(in super::super) clock: Clock,
    pub(in super::super) metrics: StoreMetrics,
}

#[async_trait]
impl Task for RedisGauges {
    fn name(&self) -> TaskName {
        TaskName::of("redis-gauges")
    }

    fn schedule(&self) -> Schedule {
        SCHEDULE
    }

    async fn pass(&mut self, stop: &CancellationToken) -> Result<Report, PassError> {
        if let Some(read) = stop.run_until_cancelled(read_redis(&self.lists, &self.metrics)).await {
            read?;
            self.metrics.observed(Store::Redis, self.clock.now());
        }
        Ok(Report::default())
    }
}

/// Reads the state of the queues, the open debts and the blocked targets from the database.
pub async fn read_database(db: &DatabaseConnection, metrics: &StoreMetrics) -> Result<(), DbErr> {
    let now = db::now(db).await?;
    for status in queue_statuses(db).await? {
        let set = |gauge, value| metrics.queue(status.name.as_str(), gauge, value);
        set(QueueGauge::Due, status.due);
        set(QueueGauge::OldestDue, age(now, status.oldest_due_at));
        set(QueueGauge::Running, status.running);
        set(QueueGauge::Slots, status.slots);
        set(QueueGauge::SlotsTaken, status.slots_taken);
        set(QueueGauge::Paused, u64::from(status.paused));
        set(QueueGauge::Dead, status.dead);
        set(QueueGauge::Debts, status.debts);
    }
    // Those of a queue are filtered in SQL, so that they do not fill its lists.
    let mut skipped = BTreeMap::from([(operation::Entity.table_name(), unreadable_rows(db).await?)]);
    for (table, count) in db::skipped_rows() {
        *skipped.entry(table).or_default() += count;
    }
    for (table, count) in skipped {
        metrics.skipped(table, count);
    }
    let open = open_debts(db).await?;
    for kind in DebtKind::all() {
        let of_kind = open.iter().find(|open| open.kind == kind);
        let (count, since) = of_kind.map_or((0, None), |open| (open.count, Some(open.since)));
        metrics.debts(kind.as_str(), count, age(now, since));
    }
    let blocked = blocked(db).await?;
    for target in Target::ALL {
        metrics.blocked(target.as_str(), blocked.get(target).copied().unwrap_or(0));
    }
    Ok(())
}

/// Reads the queues' lists and the memory usage from Redis.
pub async fn read_redis(lists: &Lists, metrics: &StoreMetrics) -> Result<(), redis::RedisError> {
    let memory = redis_memory(lists).await?;
    metrics.redis_memory(memory.used, memory.limit, memory.keeps_every_key());
    for (queue, depth) in Queue::ALL.iter().zip(lists.depths(Queue::ALL).await?) {
        let set = |gauge, value| metrics.queue(queue.as_str(), gauge, value);
        set(QueueGauge::Ready, depth.ready);
        set(QueueGauge::Processing, depth.processing);
        set(QueueGauge::Workers, depth.workers);
        set(QueueGauge::DeadWorkers, depth.dead_workers);
    }
    Ok(())
}

fn age(now: Timestamp, since: Option<Timestamp>) -> u64 {
    since.map_or(0, |since| now.since(since).as_secs())
}
