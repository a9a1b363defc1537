//! The last poll of the router, in Redis: `router:poll`, kept for an hour. Losing it costs one poll interval.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use redis::{AsyncCommands, RedisError};

use crate::db::RedisPool;
use crate::ports::{RouterPoll, RouterPolls, RouterPollsError};
use crate::telemetry::Outage;

/// The key of the last poll.
pub(super) const KEY: &str = "router:poll";
const TTL_SECONDS: u64 = 3600;
/// The least time between two writes of a process: pollers may be many and fast.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);
/// How long a poller waits for the note of its poll.
const WRITE_LIMIT: Duration = Duration::from_millis(200);
const READ_LIMIT: Duration = Duration::from_secs(2);

/// Stores and reads the last poll. Cheap to clone.
#[derive(Clone)]
pub struct StoredPolls {
    redis: RedisPool,
    /// When this process last wrote, in milliseconds.
    written: Arc<AtomicI64>,
    outage: Arc<Outage>,
}

impl StoredPolls {
    /// The polls in `redis`.
    pub fn new(redis: RedisPool) -> Self {
        Self { redis, written: Arc::default(), outage: Arc::new(Outage::of("noting the polls of Traefik")) }
    }

    /// Stores `poll`, unless this process stored one within a second. Never fails: the poller gets its document.
    pub async fn record(&self, poll: &RouterPoll) {
        let (now, before) = (poll.at.millis(), self.written.load(Ordering::Relaxed));
        let interval = i64::try_from(WRITE_INTERVAL.as_millis()).unwrap_or(i64::MAX);
        if (before..before.saturating_add(interval)).contains(&now) {
            return;
        }
        self.written.store(now, Ordering::Relaxed);
        match tokio::time::timeout(WRITE_LIMIT, self.write(poll)).await {
            Ok(Ok(())) => self.outage.works(),
            Ok(Err(error)) => self.outage.failed(error),
            Err(_) => self.outage.failed("Redis did not answer in time"),
        }
    }

    async fn write(&self, poll: &RouterPoll) -> Result<(), RedisError> {
        // A plain struct: serializing it cannot fail.
        let text = serde_json::to_string(poll).unwrap_or_default();
        self.redis.clone().set_ex(KEY, text, TTL_SECONDS).await
    }
}

/// The poll in `text`; one of another version of zpack that this one cannot read counts as absent.
pub(super) fn parse(text: Option<String>) -> Option<RouterPoll> {
    serde_json::from_str(&text?).ok()
}

#[async_trait]
impl RouterPolls for StoredPolls {
    async fn last(&self) -> Result<Option<RouterPoll>, RouterPollsError> {
        let mut redis = self.redis.clone();
        let reading = redis.get::<_, Option<String>>(KEY);
        let answer = tokio::time::timeout(READ_LIMIT, reading).await;
        let answer = answer.map_err(|_| RouterPollsError { detail: "Redis did not answer in time".to_owned() })?;
        answer.map(parse).map_err(|error| RouterPollsError { detail: error.to_string() })
    }
}
