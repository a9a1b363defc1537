//! Returns the ids of dead workers to the ready list, sooner than the sweeper would offer them.

use redis::RedisError;

use crate::jobs::failpoint::Failpoints;
use crate::jobs::queue::Queue;

use super::commands::Lists;

/// Empties the processing lists of dead and unregistered workers. This is harmless for a worker that is only
/// disconnected from Redis: an operation that it owns cannot be claimed. Returns how many ids were moved.
pub async fn reap(lists: &Lists, queue: Queue, failpoints: &Failpoints) -> Result<u64, RedisError> {
    let mut dead = lists.dead_workers(queue).await?;
    dead.extend(lists.unrecorded_workers(queue).await?);
    let mut moved = 0;
    for worker in dead {
        failpoints.hit("reap.found").await;
        moved += lists.reap(queue, &worker).await?.unwrap_or(0);
    }
    Ok(moved)
}
