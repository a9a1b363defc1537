//! Removes expired rows in small batches on a jittered schedule: first answers to idempotency keys after seven days,
//! revoked tokens after they would have expired anyway, episodes after 400 days. Everything else is kept.

use std::time::Duration;

use async_trait::async_trait;
use sea_orm::{DatabaseConnection, DbErr};
use tokio_util::sync::CancellationToken;

use crate::accounts::store::purge_revoked;
use crate::background::{First, PassError, Report, Schedule, Task, TaskName};
use crate::db;
use crate::kernel::{Clock, Timestamp};
use crate::operations::{episodes, idempotency};
use crate::telemetry::StoreMetrics;

/// The time between two passes, before jitter.
const EVERY: Duration = Duration::from_secs(3600);
/// The maximum number of rows of one statement, so that its locks are short.
const BATCH: u64 = 500;
/// The maximum number of batches of one table in a pass. The rest waits for the next pass.
const MOST_BATCHES: usize = 1000;
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
}

/// The task that removes expired rows.
pub(in super::super) struct Retention {
    pub(in super::super) db: DatabaseConnection,
    pub(in super::super) clock: Clock,
    pub(in super::super) metrics: StoreMetrics,
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
        let Some(purged) = stop.run_until_cancelled(purge(&self.db, self.clock.now())).await else {
            return Ok(Report::default());
        };
        let purged = purged?;
        self.metrics.purged("idempotency_keys", purged.idempotency_keys);
        self.metrics.purged("revoked_tokens", purged.revoked_tokens);
        self.metrics.purged("episodes", purged.episodes);
        Ok(Report { done: purged.idempotency_keys + purged.revoked_tokens + purged.episodes })
    }
}

/// Deletes rows that expired before `now`. It is safe to run concurrently, and to drop half way.
pub async fn purge(db: &DatabaseConnection, now: Timestamp) -> Result<Purged, DbErr> {
    let idempotency_keys = in_batches(|| db::retry_conflicts(|| idempotency::purge(db, now, BATCH))).await?;
    let safely = Timestamp::from_millis(now.millis() - i64::try_from(SKEW.as_millis()).unwrap_or(0));
    let revoked_tokens = in_batches(|| db::retry_conflicts(|| purge_revoked(db, safely, BATCH))).await?;
    let episodes = in_batches(|| db::retry_conflicts(|| episodes::purge(db, now, BATCH))).await?;
    Ok(Purged { idempotency_keys, revoked_tokens, episodes })
}

/// Repeats `batch` until one is not full. If another process took some of the rows, that process continues.
async fn in_batches<F: Future<Output = Result<u64, DbErr>>>(batch: impl Fn() -> F) -> Result<u64, DbErr> {
    let mut total = 0;
    for _ in 0..MOST_BATCHES {
        let removed = batch().await?;
        total += removed;
        if removed < BATCH {
            break;
        }
        tokio::time::sleep(BREATH).await;
    }
    Ok(total)
}
