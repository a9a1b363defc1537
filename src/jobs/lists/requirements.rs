//! What the runtime demands of Redis before a worker starts, and how much memory Redis has left.

use redis::RedisError;

use super::commands::Lists;

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

/// The memory of Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisMemory {
    /// What it does when memory is short, as it says.
    pub policy: String,
    /// Bytes in use.
    pub used: u64,
    /// Bytes it may use, 0 for no limit.
    pub limit: u64,
}

impl RedisMemory {
    /// Reads what `INFO memory` says; what it leaves out is unknown or zero.
    fn parse(info: &str) -> Self {
        let field =
            |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
        let number = |name| field(name).and_then(|text| text.parse().ok()).unwrap_or(0);
        Self {
            policy: field("maxmemory_policy").unwrap_or("unknown").to_owned(),
            used: number("used_memory"),
            limit: number("maxmemory"),
        }
    }

    /// Whether no key is ever dropped.
    pub fn keeps_every_key(&self) -> bool {
        self.policy == "noeviction"
    }
}

/// Asks Redis for its memory.
pub async fn redis_memory(lists: &Lists) -> Result<RedisMemory, RedisError> {
    let info: String = redis::cmd("INFO").arg("memory").query_async(&mut lists.connection()).await?;
    Ok(RedisMemory::parse(&info))
}

/// Refuses a Redis that may evict keys (docs/contracts/jobs.md 0.9). A managed Redis that hides `CONFIG` is judged by
/// `INFO memory`.
pub async fn check_redis(lists: &Lists) -> Result<(), RequirementError> {
    let memory = redis_memory(lists).await.map_err(RequirementError::Unreachable)?;
    if memory.keeps_every_key() { Ok(()) } else { Err(RequirementError::Eviction { policy: memory.policy }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_by_their_whole_name() {
        let info = "# Memory\r\nused_memory:100\r\nused_memory_rss:900\r\nmaxmemory_human:1K\r\nmaxmemory:1024\r\n\
                    maxmemory_policy:allkeys-lru\r\n";
        let memory = RedisMemory::parse(info);
        assert_eq!(memory, RedisMemory { policy: "allkeys-lru".to_owned(), used: 100, limit: 1024 });
        assert!(!memory.keeps_every_key());
        assert_eq!(RedisMemory::parse("").policy, "unknown");
    }
}
