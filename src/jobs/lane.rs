//! The way from the ready list of one queue to one worker.

use std::time::Duration;

use redis::RedisError;

use crate::kernel::WorkerId;
use crate::telemetry::JobMetrics;

use super::lists::commands::Lists;
use super::queue::Queue;

/// Where a worker receives its work. Cheap to clone.
#[derive(Clone)]
pub struct Lane {
    /// The queue it works on.
    pub queue: Queue,
    /// Its name, new for every start.
    pub worker: WorkerId,
    /// The lists, and the connection that waits for them.
    pub lists: Lists,
    /// How long one blocking receive waits, 2 s at most.
    pub block: Duration,
    /// What it counts.
    pub metrics: JobMetrics,
}

impl Lane {
    /// Removes what others left under the names of the queue, when that is what `error` says: it would be in the way
    /// for ever.
    pub(super) async fn clear_after(&self, error: &RedisError) {
        let Some(answers) = error.clone().into_server_errors() else { return };
        // Before Redis 7 a script wraps the answer of its command.
        let wrong = |code: &str, detail: Option<&str>| {
            code == "WRONGTYPE" || detail.is_some_and(|detail| detail.contains("WRONGTYPE"))
        };
        if !answers.iter().any(|(_, answer)| wrong(answer.code(), answer.details())) {
            return;
        }
        let Self { queue, worker, lists, metrics, .. } = self;
        match lists.remove_wrong_types(*queue, *worker).await {
            // Another task, or another worker, was here before.
            Ok(0) => {}
            Ok(removed) => {
                metrics.keys_removed(removed);
                tracing::warn!(%queue, removed, "removed {removed} keys of {queue} that were of the wrong type");
            }
            Err(error) => tracing::debug!(%error, "keys of the wrong type are still there"),
        }
    }
}
