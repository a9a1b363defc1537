//! The state of the queues: their rows, and their lists in Redis. Redis may be unavailable; the rows are authoritative.

use std::time::Duration;

use anyhow::Context;
use sea_orm::DatabaseConnection;
use serde::Serialize;

use crate::jobs::{Depth, EndedCounts, Lists, Queue, QueueStatus, ended_since, queue_statuses};
use crate::kernel::Timestamp;
use crate::roles::output::{self, age, or_dash};

/// The period for which ended operations are counted.
const A_DAY: Duration = Duration::from_secs(24 * 3600);

/// One queue.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct QueueView {
    #[serde(flatten)]
    pub(super) rows: QueueStatus,
    /// The age of the oldest due operation.
    pub(super) oldest_due_seconds: Option<u64>,
    /// Ids that wait in Redis; absent if Redis does not answer.
    pub(super) ready: Option<u64>,
    /// Ids that registered workers have received; absent if Redis does not answer.
    pub(super) processing: Option<u64>,
    /// Live workers; absent if Redis does not answer.
    pub(super) workers: Option<u64>,
    /// Workers past their deadline; absent if Redis does not answer.
    pub(super) dead_workers: Option<u64>,
    /// Operations that ended in the last 24 hours.
    pub(super) ended_last_day: EndedCounts,
}

/// Reads all queues.
pub(super) async fn read(db: &DatabaseConnection, lists: &Lists, now: Timestamp) -> anyhow::Result<Vec<QueueView>> {
    let since = Timestamp::from_millis(now.millis() - i64::try_from(A_DAY.as_millis()).unwrap_or(0));
    let (rows, ended, depths) = tokio::join!(queue_statuses(db), ended_since(db, since), lists.depths(Queue::ALL));
    let rows = rows.context("cannot read the state of the queues")?;
    let mut ended = ended.context("cannot count the ended operations")?;
    let depths: Vec<Option<Depth>> = match depths {
        Ok(depths) => depths.into_iter().map(Some).collect(),
        Err(error) => {
            tracing::warn!(%error, "Redis did not report the lengths of the lists");
            vec![None; rows.len()]
        }
    };
    let views = rows.into_iter().zip(depths).map(|(rows, depth)| QueueView {
        oldest_due_seconds: rows.oldest_due_at.map(|at| now.since(at).as_secs()),
        ready: depth.map(|depth| depth.ready),
        processing: depth.map(|depth| depth.processing),
        workers: depth.map(|depth| depth.workers),
        dead_workers: depth.map(|depth| depth.dead_workers),
        ended_last_day: ended.remove(rows.name.as_str()).unwrap_or_default(),
        rows,
    });
    Ok(views.collect())
}

/// A table for people.
pub(super) fn table(queues: &[QueueView], now: Timestamp) -> String {
    let rows = queues.iter().map(|queue| {
        let QueueView { rows, ended_last_day: ended, .. } = queue;
        let workers = match (queue.workers, queue.dead_workers) {
            (Some(living), Some(dead)) if dead > 0 => format!("{living} (+{dead} dead)"),
            (living, _) => or_dash(living),
        };
        vec![
            rows.name.to_string(),
            if rows.paused { "paused" } else { "open" }.to_owned(),
            workers,
            or_dash(queue.ready),
            or_dash(queue.processing),
            rows.running.to_string(),
            // A queue without slots runs as many operations as its workers can.
            if rows.slots == 0 { "-".to_owned() } else { format!("{}/{}", rows.slots_taken, rows.slots) },
            rows.due.to_string(),
            or_dash(rows.oldest_due_at.map(|at| age(now, at))),
            rows.dead.to_string(),
            rows.debts.to_string(),
            format!("{}/{}/{}/{}", ended.succeeded, ended.failed, ended.cancelled, ended.stale),
        ]
    });
    let header = [
        "queue",
        "switch",
        "workers",
        "ready",
        "processing",
        "running",
        "slots",
        "due",
        "oldest",
        "dead",
        "debts",
        "24h ok/failed/cancelled/stale",
    ];
    output::table(&header, rows, "No queues.")
}
