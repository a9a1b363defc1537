//! What the runtime demands of Redis before a worker starts.

use redis::RedisError;

use super::lists::Lists;

/// Redis is not fit for queues.
#[derive(Debug, thiserror::Error)]
pub enum RequirementError {
    /// It may drop keys when memory is short.
    #[error(
        "Redis has maxmemory-policy `{policy}`; queues need `noeviction` (run: redis-cli CONFIG SET maxmemory-policy \
         noeviction, and set it in redis.conf)"
    )]
    Eviction {
        /// The policy found.
        policy: String,
    },
    /// It did not answer.
    #[error("Redis could not be asked for its maxmemory-policy")]
    Unreachable(#[source] RedisError),
}

/// Refuses a Redis that may evict keys (jobs.md 0.9). A managed Redis that hides `CONFIG` is judged by `INFO memory`.
pub async fn check_redis(lists: &Lists) -> Result<(), RequirementError> {
    let info: String = redis::cmd("INFO")
        .arg("memory")
        .query_async(&mut lists.connection())
        .await
        .map_err(RequirementError::Unreachable)?;
    let policy = info.lines().find_map(|line| line.strip_prefix("maxmemory_policy:")).unwrap_or("unknown").trim();
    if policy == "noeviction" { Ok(()) } else { Err(RequirementError::Eviction { policy: policy.to_owned() }) }
}
