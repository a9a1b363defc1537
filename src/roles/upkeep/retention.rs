//! Removes rows whose retention has ended, in small batches on a jittered schedule. Answers to idempotency keys, revoked tokens
//! and episodes are deleted; operations, the audit log and deleted servers are moved to the archive, and deleted there later.

use std::time::Duration;

use async_trait::async_trait;
use sea_orm::{DatabaseConnection, DbErr};
use tokio_util::sync::CancellationToken;

use crate::accounts::store::purge_revoked;
use crate::background::{First, PassError, Report, Schedule, Task, TaskName};
use crate::config::RetentionConfig;
use crate::db;
use crate::db::archive::{self, Records, archive_older, delete_older};
use crate::db::entities::archived_record::Origin;
use crate::kernel::{Clock, Timestamp};
use crate::operations::{archive_ended, episodes, idempotency};
use crate::servers;
use crate::telemetry::StoreMetrics;

/// The time between two passes, before jitter.
const EVERY: Duration = Duration::from_secs(3600);
/// The maximum number of rows of one statement, so that its locks are short.
const BATCH: u64 = 500;
/// The maximum number of batches of one table in a pass. The rest waits for the next pass.
const MOST_BATCHES: usize = 1000;
/// Records that one transaction archives: on SQLite other writers wait for it.
const ARCHIVE_BATCH: u64 = 100;
/// The audit log.
const AUDIT: Records =
    Records { origin: Origin::AuditEvent, source: archive::Source { table: "audit_events", key: "id" }, at: "at" };
/// Servers that are deleted.
const DELETED_SERVERS: Records = Records {
    origin: Origin::DeletedInstance,
    source: archive::Source { table: "deleted_instances", key: "id" },
    at: "finished_at",
};
/// The pause between two batches.
const BREATH: Duration = Duration::from_millis(20);
/// How far the clocks of two processes may differ. No revoked token may become valid again where the clock is slow.
const SKEW: Duration = Duration::from_secs(3600);

/// How many rows a pass removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// First answers to idempotency keys.
    pub idempotency_keys: u64,
    /// Revoked tokens.
    pub revoked_tokens: u64,
    /// Episodes that had their operation.
    pub episodes: u64,
    /// Operations, moved to the archive.
    pub operations: u64,
    /// Entries of the audit log, moved to the archive.
    pub audit_events: u64,
    /// Deleted servers, moved to the archive.
    pub deleted_instances: u64,
    /// Records of the archive.
    pub archived_records: u64,
}

impl Purged {
    /// The rows removed from each table.
    fn by_table(&self) -> [(&'static str, u64); 7] {
        [
            ("idempotency_keys", self.idempotency_keys),
            ("revoked_tokens", self.revoked_tokens),
            ("episodes", self.episodes),
            ("operations", self.operations),
            ("audit_events", self.audit_events),
            ("deleted_instances", self.deleted_instances),
            ("archived_records", self.archived_records),
        ]
    }
}

/// The task that removes expired rows.
pub(in super::super) struct Retention {
    pub(in super::super) db: DatabaseConnection,
    pub(in super::super) clock: Clock,
    pub(in super::super) metrics: StoreMetrics,
    pub(in super::super) kept: RetentionConfig,
}

#[async_trait]
impl Task for Retention {
    fn name(&self) -> TaskName {
        TaskName::of("retention")
    }

    /// Jittered, so that processes which started together do not purge together.
    fn schedule(&self) -> Schedule {
        Schedule::every(EVERY).jitter(0.2).first(First::Within(0.2)).timeout(EVERY)
    }

    async fn pass(&mut self, stop: &CancellationToken) -> Result<Report, PassError> {
        let Some(purged) = stop.run_until_cancelled(purge(&self.db, self.clock.now(), &self.kept)).await else {
            return Ok(Report::default());
        };
        let purged = purged?;
        for (table, rows) in purged.by_table() {
            self.metrics.purged(table, rows);
        }
        Ok(Report { done: purged.by_table().iter().map(|(_, rows)| rows).sum() })
    }
}

/// Removes rows whose retention has ended by `now`. It is safe to run concurrently, and to drop half way.
pub async fn purge(db: &DatabaseConnection, now: Timestamp, kept: &RetentionConfig) -> Result<Purged, DbErr> {
    let before = |span: Duration| Timestamp::from_millis(now.millis() - db::millis(span));
    let idempotency_keys = in_batches(BATCH, || db::retry_conflicts(|| idempotency::purge(db, now, BATCH))).await?;
    let safely = before(SKEW);
    let revoked_tokens = in_batches(BATCH, || db::retry_conflicts(|| purge_revoked(db, safely, BATCH))).await?;
    let episodes = in_batches(BATCH, || db::retry_conflicts(|| episodes::purge(db, now, BATCH))).await?;
    let operations = archive_operations(db, (before(kept.operations), now)).await?;
    let moved = |records, span| {
        let times = (before(span), now);
        in_batches(ARCHIVE_BATCH, move || db::retry_conflicts(move || archive_older(db, records, times, ARCHIVE_BATCH)))
    };
    let audit_events = moved(&AUDIT, kept.audit).await?;
    let deleted_instances = moved(&DELETED_SERVERS, kept.deleted_servers).await?;
    let over = before(kept.archive);
    let archived_records = in_batches(BATCH, || db::retry_conflicts(|| delete_older(db, over, BATCH))).await?;
    Ok(Purged {
        idempotency_keys,
        revoked_tokens,
        episodes,
        operations,
        audit_events,
        deleted_instances,
        archived_records,
    })
}

/// Archives operations; how many. Those that something still refers to are read once in a pass.
async fn archive_operations(db: &DatabaseConnection, times: (Timestamp, Timestamp)) -> Result<u64, DbErr> {
    let (mut total, mut place) = (0, None);
    for _ in 0..MOST_BATCHES {
        let (archived, next) =
            db::retry_conflicts(|| archive_ended(db, times, place, ARCHIVE_BATCH, servers::holders())).await?;
        total += archived;
        place = next;
        if place.is_none() {
            break;
        }
        tokio::time::sleep(BREATH).await;
    }
    Ok(total)
}

/// Repeats `batch`, which removes at most `most` rows, until it removes fewer. When another process took some of it,
/// that process continues.
async fn in_batches<F: Future<Output = Result<u64, DbErr>>>(most: u64, batch: impl Fn() -> F) -> Result<u64, DbErr> {
    let mut total = 0;
    for _ in 0..MOST_BATCHES {
        let removed = batch().await?;
        total += removed;
        if removed < most {
            break;
        }
        tokio::time::sleep(BREATH).await;
    }
    Ok(total)
}
