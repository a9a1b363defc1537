//! The Redis side of a queue: short commands and scripts on pooled connections. Nothing here decides ownership.

use std::time::Duration;

use redis::{AsyncCommands, RedisError, Script};

use crate::db::RedisPool;
use crate::jobs::queue::Queue;
use crate::kernel::{OperationId, WorkerId};

/// The most entries of one list operation, so that scripts stay short and below Lua's stack limit.
pub(in crate::jobs) const PAGE: usize = 200;

/// The timeout of an offer. Short, because a customer waits for it.
const OFFER_TIMEOUT: Duration = Duration::from_millis(500);

/// The lists of all queues. Cheap to clone.
#[derive(Clone)]
pub struct Lists {
    redis: RedisPool,
}

impl Lists {
    /// The lists that are in `redis`.
    pub fn new(redis: RedisPool) -> Self {
        Self { redis }
    }

    /// Where they are, for other commands.
    pub fn connection(&self) -> RedisPool {
        self.redis.clone()
    }

    /// Offers the id of an operation that was just accepted, with a timeout of half a second. If that fails, the
    /// operation only starts later: the sweeper offers it.
    pub async fn offer_new(&self, queue: Queue, id: OperationId) -> Result<(), RedisError> {
        let mut connection = self.connection();
        let offering = connection.lpush(queue.ready_key(), id.to_string());
        let late = |_| RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        tokio::time::timeout(OFFER_TIMEOUT, offering).await.map_err(late)?
    }

    /// Puts `ids` (oldest first, at most 200) on the ready list unless they are on it. Returns how many were added.
    pub async fn offer(&self, queue: Queue, ids: &[OperationId]) -> Result<usize, RedisError> {
        let script = Script::new(include_str!("scripts/offer.lua"));
        let mut call = script.prepare_invoke();
        call.key(queue.ready_key());
        for id in ids.iter().take(PAGE) {
            call.arg(id.to_string());
        }
        call.invoke_async(&mut self.connection()).await
    }

    /// Drops a received entry, valid or not. It may be missing.
    pub async fn forget(&self, queue: Queue, worker: WorkerId, entry: &[u8]) -> Result<(), RedisError> {
        self.connection().lrem(queue.processing_key(worker), 1, entry).await
    }

    /// Drops received ids in one round trip.
    pub(super) async fn forget_all(
        &self,
        queue: Queue,
        worker: WorkerId,
        ids: &[OperationId],
    ) -> Result<(), RedisError> {
        forgets(queue, worker, ids).exec_async(&mut self.connection()).await
    }

    /// Returns a received id to the front of the ready list.
    pub async fn hand_back(&self, queue: Queue, worker: WorkerId, id: OperationId) -> Result<(), RedisError> {
        let script = Script::new(include_str!("scripts/hand_back.lua"));
        let mut call = script.prepare_invoke();
        call.key(queue.ready_key()).key(queue.processing_key(worker)).arg(id.to_string());
        call.invoke_async(&mut self.connection()).await
    }

    /// Records that `worker` is alive for another `ttl`.
    pub async fn heartbeat(&self, queue: Queue, worker: WorkerId, ttl: Duration) -> Result<(), RedisError> {
        let script = Script::new(include_str!("scripts/heartbeat.lua"));
        let mut call = script.prepare_invoke();
        call.key(queue.workers_key()).arg(worker.to_string()).arg(ttl.as_millis().to_string());
        call.invoke_async(&mut self.connection()).await
    }

    /// Removes `worker` from the set of workers; its processing list must be empty.
    pub async fn sign_out(&self, queue: Queue, worker: WorkerId) -> Result<(), RedisError> {
        self.connection().zrem(queue.workers_key(), worker.to_string()).await
    }

    /// The names of up to 100 workers whose heartbeat has expired.
    pub async fn dead_workers(&self, queue: Queue) -> Result<Vec<String>, RedisError> {
        let script = Script::new(include_str!("scripts/dead.lua"));
        let mut call = script.prepare_invoke();
        call.key(queue.workers_key()).arg(100);
        call.invoke_async(&mut self.connection()).await
    }

    /// The names of workers that have a processing list but are not in the set of workers.
    pub async fn unrecorded_workers(&self, queue: Queue) -> Result<Vec<String>, RedisError> {
        let mut connection = self.connection();
        let prefix = queue.processing_prefix();
        let mut names = Vec::new();
        let mut cursor = 0u64;
        loop {
            let (next, keys): (u64, Vec<String>) = redis::cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(format!("{}*", prefix.replace('{', "\\{").replace('}', "\\}")))
                .arg("COUNT")
                .arg(1000)
                .query_async(&mut connection)
                .await?;
            for name in keys.iter().filter_map(|key| key.strip_prefix(&prefix)) {
                let score: Option<f64> = connection.zscore(queue.workers_key(), name).await?;
                if score.is_none() {
                    names.push(name.to_owned());
                }
            }
            cursor = next;
            if cursor == 0 || names.len() >= 100 {
                return Ok(names);
            }
        }
    }

    /// Moves up to 500 ids of a dead worker back to the ready list. Returns how many, or `None` if it is alive.
    pub async fn reap(&self, queue: Queue, worker: &str) -> Result<Option<u64>, RedisError> {
        let script = Script::new(include_str!("scripts/reap.lua"));
        let mut call = script.prepare_invoke();
        call.key(queue.workers_key())
            .key(format!("{}{worker}", queue.processing_prefix()))
            .key(queue.ready_key())
            .arg(worker)
            .arg(500);
        let moved: i64 = call.invoke_async(&mut self.connection()).await?;
        Ok(u64::try_from(moved).ok())
    }

    /// Removes the keys of the queue that have the wrong type: only zpack may write them, and the sweeper offers again
    /// what is missing afterwards. Returns how many keys were removed.
    pub async fn remove_wrong_types(&self, queue: Queue, worker: WorkerId) -> Result<u64, RedisError> {
        let script = Script::new(include_str!("scripts/wrong_types.lua"));
        let mut call = script.prepare_invoke();
        call.key(queue.ready_key()).key(queue.processing_key(worker)).key(queue.workers_key());
        call.invoke_async(&mut self.connection()).await
    }

    /// The length of the ready list.
    pub async fn ready(&self, queue: Queue) -> Result<u64, RedisError> {
        self.connection().llen(queue.ready_key()).await
    }

    /// The id of the running Redis process; after a restart, data may be lost.
    pub async fn run_id(&self) -> Result<Option<String>, RedisError> {
        let info: String = redis::cmd("INFO").arg("server").query_async(&mut self.connection()).await?;
        Ok(info.lines().find_map(|line| line.strip_prefix("run_id:")).map(|id| id.trim().to_owned()))
    }

    /// Unblocks a receiver by the id of its connection; it receives nothing, and no id is moved.
    pub async fn unblock(&self, connection_id: i64) -> Result<(), RedisError> {
        redis::cmd("CLIENT").arg("UNBLOCK").arg(connection_id).query_async(&mut self.connection()).await
    }
}

/// The commands that drop received ids, without their answers. They may be missing.
pub(super) fn forgets(queue: Queue, worker: WorkerId, ids: &[OperationId]) -> redis::Pipeline {
    let own = queue.processing_key(worker);
    let mut pipeline = redis::pipe();
    for id in ids {
        pipeline.lrem(&own, 1, id.to_string()).ignore();
    }
    pipeline
}
