//! Reads the stores into the gauges of the process, so that a scrape never waits for anybody.

use std::time::Duration;

use sea_orm::{DatabaseConnection, DbErr};
use tokio::time::error::Elapsed;
use tokio_util::sync::CancellationToken;

use super::Upkeep;
use crate::db;
use crate::db::entities::debt::DebtKind;
use crate::edge::Target;
use crate::jobs::{Lists, Queue, queue_statuses, redis_memory};
use crate::kernel::Timestamp;
use crate::publishing::blocked;
use crate::teardown::debts::owed;
use crate::telemetry::{Outage, QueueGauge, Store, StoreMetrics};

/// From one reading to the next, before jitter.
const EVERY: Duration = Duration::from_secs(10);
/// How long one store may take to tell.
const LIMIT: Duration = Duration::from_secs(5);

pub(super) async fn keep(upkeep: &Upkeep, stop: &CancellationToken) {
    let Upkeep { db, lists, clock, metrics } = upkeep;
    let database = Outage::of("reading the queues in the database");
    let redis = Outage::of("reading the queues in Redis");
    loop {
        let (rows, memory) = tokio::join!(
            tokio::time::timeout(LIMIT, read_database(db, metrics)),
            tokio::time::timeout(LIMIT, read_redis(lists, metrics)),
        );
        if answered(&database, &rows) {
            metrics.observed(Store::Database, clock.now());
        }
        if answered(&redis, &memory) {
            metrics.observed(Store::Redis, clock.now());
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY.mul_f64(rand::random_range(0.8..1.2))) => {}
        }
    }
}

/// Whether a store answered; an outage is one line in the log.
fn answered<E: std::fmt::Display>(outage: &Outage, answer: &Result<Result<(), E>, Elapsed>) -> bool {
    match answer {
        Ok(Ok(())) => outage.works(),
        Ok(Err(error)) => outage.failed(error),
        Err(late) => outage.failed(late),
    }
    matches!(answer, Ok(Ok(())))
}

/// Reads from the database how the queues stand, what is owed, and what is blocked.
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
    let owed = owed(db).await?;
    for kind in DebtKind::ALL {
        let of_kind = owed.iter().find(|owed| owed.kind == *kind);
        let (count, since) = of_kind.map_or((0, None), |owed| (owed.count, Some(owed.since)));
        metrics.debts(kind.as_str(), count, age(now, since));
    }
    let blocked = blocked(db).await?;
    for target in Target::ALL {
        metrics.blocked(target.as_str(), blocked.get(target).copied().unwrap_or(0));
    }
    Ok(())
}

/// Reads what Redis holds of the queues, and its memory.
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
