//! Returns what dead workers had received to the ready list, so that it starts sooner than the sweeper would offer it.

use redis::RedisError;

use crate::jobs::failpoint::Failpoints;
use crate::jobs::queue::Queue;

use super::commands::Lists;

/// Empties the lists of dead and unrecorded workers. A worker that is only cut off loses nothing by it: its ids meet
/// the claim rule. Returns how many ids were moved.
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
