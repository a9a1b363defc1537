//! When each server was pinged, and which process pings it.
//!
//! Every call has a limit, because pings go on without Redis.

use std::time::Duration;

use tokio::time::timeout;

use super::super::facts::PingHistory;
use super::{LiveState, READ_LIMIT, ReadError, claim_command, json, millis, parse};
use crate::kernel::InstanceId;

/// For how long the history of a server's pings is kept.
const PING_TTL: Duration = Duration::from_secs(24 * 60 * 60);

impl LiveState {
    /// What is stored of the pings of each of `servers`.
    pub(in super::super) async fn ping_histories(
        &self,
        servers: &[InstanceId],
    ) -> Result<Vec<Option<PingHistory>>, ReadError> {
        let keys: Vec<String> = servers.iter().map(|server| ping_key(*server)).collect();
        let stored: Vec<Option<String>> =
            in_time(redis::cmd("MGET").arg(&keys).query_async(&mut self.redis.clone())).await?;
        Ok(stored.into_iter().map(parse).collect())
    }

    /// Claims the ping of each of `servers` for `hold`; false where another process pings.
    pub(in super::super) async fn claim_pings(
        &self,
        servers: &[InstanceId],
        hold: Duration,
    ) -> Result<Vec<bool>, ReadError> {
        let mut pipe = redis::pipe();
        for server in servers {
            claim_command(&mut pipe, &format!("poll:ping:{server}"), hold);
        }
        let claimed: Vec<Option<String>> = in_time(pipe.query_async(&mut self.redis.clone())).await?;
        Ok(claimed.iter().map(Option::is_some).collect())
    }

    /// Stores that `server` was pinged.
    pub(in super::super) async fn record_ping(
        &self,
        server: InstanceId,
        history: &PingHistory,
    ) -> Result<(), ReadError> {
        let mut set = redis::cmd("SET");
        set.arg(ping_key(server)).arg(json(history)).arg("PX").arg(millis(PING_TTL));
        in_time(set.exec_async(&mut self.redis.clone())).await
    }

    /// Claims the listing of the proxy for `hold`; false when another process has claimed it.
    pub(in super::super) async fn claim_proxy(&self, hold: Duration) -> Result<bool, ReadError> {
        in_time(self.claim_listing("poll:proxy", hold)).await
    }
}

async fn in_time<T>(call: impl Future<Output = redis::RedisResult<T>>) -> Result<T, ReadError> {
    Ok(timeout(READ_LIMIT, call).await.map_err(|_| ReadError::Late)??)
}

fn ping_key(server: InstanceId) -> String {
    format!("ping:{server}")
}
