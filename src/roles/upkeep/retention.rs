//! Removes rows whose time is over, in small batches on a jittered schedule: first answers to idempotency keys after
//! seven days, revoked tokens once they would have ended anyway. Everything else is kept.

use std::time::Duration;

use sea_orm::{DatabaseConnection, DbErr};
use tokio_util::sync::CancellationToken;

use super::Upkeep;
use crate::accounts::store::purge_revoked;
use crate::db;
use crate::kernel::Timestamp;
use crate::operations::idempotency;

/// From one round to the next, before jitter.
const EVERY: Duration = Duration::from_secs(3600);
/// Rows one statement removes, so that nobody waits long for its locks.
const BATCH: u64 = 500;
/// Batches of one table in one round; what is left waits for the next.
const MOST_BATCHES: usize = 1000;
/// The pause between two batches.
const BREATH: Duration = Duration::from_millis(20);
/// How far the clocks of two processes may be apart. No token may come back to life where the clock is behind.
const SKEW: Duration = Duration::from_secs(3600);

/// How many rows a round removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// First answers to idempotency keys.
    pub idempotency_keys: u64,
    /// Revoked tokens.
    pub revoked_tokens: u64,
}

pub(super) async fn keep(upkeep: &Upkeep, stop: &CancellationToken) {
    // Processes that were started together do not purge together.
    let mut wait = EVERY.mul_f64(rand::random_range(0.0..0.2));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        let round = tokio::select! {
            () = stop.cancelled() => return,
            round = purge(&upkeep.db, upkeep.clock.now()) => round,
        };
        match round {
            Ok(purged) => {
                upkeep.metrics.purged("idempotency_keys", purged.idempotency_keys);
                upkeep.metrics.purged("revoked_tokens", purged.revoked_tokens);
                tracing::debug!(?purged, "removed rows whose time is over");
            }
            Err(error) => tracing::warn!(%error, "rows whose time is over could not be removed; trying again later"),
        }
        wait = EVERY.mul_f64(rand::random_range(0.8..1.2));
    }
}

/// Removes what `now` is too late for. Safe while others do the same, and when it is dropped half way.
pub async fn purge(db: &DatabaseConnection, now: Timestamp) -> Result<Purged, DbErr> {
    let idempotency_keys = in_batches(|| db::retry_conflicts(|| idempotency::purge(db, now, BATCH))).await?;
    let safely = Timestamp::from_millis(now.millis() - i64::try_from(SKEW.as_millis()).unwrap_or(0));
    let revoked_tokens = in_batches(|| db::retry_conflicts(|| purge_revoked(db, safely, BATCH))).await?;
    Ok(Purged { idempotency_keys, revoked_tokens })
}

/// Repeats `batch` until it comes back short. When another process took some of it, that process goes on.
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
