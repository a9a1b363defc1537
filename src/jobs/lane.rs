//! The connection between the ready list of one queue and one worker.

use std::time::Duration;

use redis::RedisError;

use crate::kernel::WorkerId;
use crate::telemetry::JobMetrics;

use super::lists::commands::Lists;
use super::queue::Queue;

/// What a worker receives ids with. Cheap to clone.
#[derive(Clone)]
pub struct Lane {
    /// The queue it works on.
    pub queue: Queue,
    /// Its id, new at every start.
    pub worker: WorkerId,
    /// The lists, and the connection that waits for them.
    pub lists: Lists,
    /// How long one blocking receive waits, at most 2 s.
    pub block: Duration,
    /// The metrics of the worker.
    pub metrics: JobMetrics,
}

impl Lane {
    /// Removes foreign values under the keys of the queue if `error` reports a wrong type: otherwise the queue would be
    /// blocked permanently.
    pub(super) async fn clear_after(&self, error: &RedisError) {
        let Some(answers) = error.clone().into_server_errors() else { return };
        // Before Redis 7, a script wraps the error of its command.
        let wrong = |code: &str, detail: Option<&str>| {
            code == "WRONGTYPE" || detail.is_some_and(|detail| detail.contains("WRONGTYPE"))
        };
        if !answers.iter().any(|(_, answer)| wrong(answer.code(), answer.details())) {
            return;
        }
        let Self { queue, worker, lists, metrics, .. } = self;
        match lists.remove_wrong_types(*queue, *worker).await {
            // Another task or worker has already removed them.
            Ok(0) => {}
            Ok(removed) => {
                metrics.keys_removed(removed);
                tracing::warn!(%queue, removed, "removed {removed} keys of {queue} that were of the wrong type");
            }
            Err(error) => tracing::debug!(%error, "keys of the wrong type could not be removed"),
        }
    }
}
