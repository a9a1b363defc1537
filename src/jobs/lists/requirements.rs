//! What the runtime requires of Redis before a worker starts, and the memory of Redis.

use redis::RedisError;

use super::commands::Lists;

/// Why Redis cannot be used for queues.
#[derive(Debug, thiserror::Error)]
pub enum RequirementError {
    /// It may evict keys when memory is short.
    #[error(
        "Redis has maxmemory-policy `{policy}`; queues need `noeviction` (run: redis-cli CONFIG SET maxmemory-policy \
         noeviction, and set it in redis.conf)"
    )]
    Eviction {
        /// The policy found.
        policy: String,
    },
    /// It did not answer.
    #[error("the maxmemory-policy of Redis could not be read")]
    Unreachable(#[source] RedisError),
}

/// The memory of Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisMemory {
    /// The eviction policy that it reports.
    pub policy: String,
    /// Bytes in use.
    pub used: u64,
    /// Bytes it may use, 0 for no limit.
    pub limit: u64,
}

impl RedisMemory {
    /// Parses the answer to `INFO memory`; missing fields are unknown or zero.
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

    /// Whether it never evicts a key.
    pub fn keeps_every_key(&self) -> bool {
        self.policy == "noeviction"
    }
}

/// Reads the memory of Redis.
pub async fn redis_memory(lists: &Lists) -> Result<RedisMemory, RedisError> {
    let info: String = redis::cmd("INFO").arg("memory").query_async(&mut lists.connection()).await?;
    Ok(RedisMemory::parse(&info))
}

/// Refuses a Redis that may evict keys (docs/contracts/jobs.md 0.9). Reads `INFO memory`, since a managed Redis may not
/// allow `CONFIG`.
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
