//! Receives ids on a connection of its own: a blocking command on a shared one would hold up everything behind it,
//! and a response timeout would lose ids (jobs.md 0.5, 0.6).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError};
use tokio::time::{Instant, timeout};

use crate::kernel::{Backoff, OperationId, WorkerId};
use crate::telemetry::JobMetrics;

use super::inflight::InFlight;
use super::lists::Lists;
use super::queue::Queue;

/// How often the own list is compared with what is being handled, in case a reply was lost on a living connection.
const RECONCILE: Duration = Duration::from_secs(30);

const RECONNECT: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));

/// One consumer of one queue.
pub(super) struct Receiver {
    client: Client,
    lists: Lists,
    queue: Queue,
    worker: WorkerId,
    inflight: InFlight,
    block: Duration,
    metrics: JobMetrics,
    connection: Option<MultiplexedConnection>,
    /// Redis id of the connection, for waking it; 0 while there is none.
    connection_id: Arc<AtomicI64>,
    backlog: VecDeque<OperationId>,
    reconciled: Instant,
    failures: u32,
}

impl Receiver {
    pub(super) fn new(
        client: Client,
        lists: Lists,
        queue: Queue,
        worker: WorkerId,
        inflight: InFlight,
        block: Duration,
        metrics: JobMetrics,
    ) -> Self {
        Self {
            client,
            lists,
            queue,
            worker,
            inflight,
            block: block.min(Duration::from_secs(2)),
            metrics,
            connection: None,
            connection_id: Arc::new(AtomicI64::new(0)),
            backlog: VecDeque::new(),
            reconciled: Instant::now(),
            failures: 0,
        }
    }

    /// A handle on the id of the blocking connection, for [`Lists::unblock`].
    pub(super) fn connection_id(&self) -> Arc<AtomicI64> {
        self.connection_id.clone()
    }

    /// The next id, or `None` after about the block time without one. Never fails: a broken connection is rebuilt with
    /// backoff. Must be awaited to its end; a dropped future could lose the id it was about to return.
    pub(super) async fn next(&mut self) -> Option<OperationId> {
        if let Some(id) = self.backlog.pop_front() {
            return Some(id);
        }
        match self.receive().await {
            Ok(id) => {
                self.failures = 0;
                id
            }
            Err(error) => {
                self.metrics.receive_failed();
                self.connection = None;
                self.connection_id.store(0, Ordering::SeqCst);
                if self.failures == 0 {
                    tracing::warn!(%error, queue = %self.queue, "cannot receive from Redis; reconnecting");
                }
                tokio::time::sleep(RECONNECT.jittered(self.failures)).await;
                self.failures = self.failures.saturating_add(1);
                None
            }
        }
    }

    /// Whether the last look for an id failed.
    pub(super) const fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Received ids that nobody has begun to handle.
    pub(super) fn take_backlog(&mut self) -> impl Iterator<Item = OperationId> + '_ {
        self.backlog.drain(..)
    }

    async fn receive(&mut self) -> Result<Option<OperationId>, RedisError> {
        let mut connection = self.connect().await?;
        if self.reconciled.elapsed() >= RECONCILE {
            self.reconcile(&mut connection).await?;
        }
        if let Some(id) = self.backlog.pop_front() {
            return Ok(Some(id));
        }
        let mut command = redis::cmd("BLMOVE");
        command
            .arg(self.queue.ready_key())
            .arg(self.queue.processing_key(self.worker))
            .arg("RIGHT")
            .arg("LEFT")
            .arg(self.block.as_secs_f64());
        let answer = timeout(self.block + Duration::from_secs(1), command.query_async(&mut connection)).await;
        let Ok(answer) = answer else {
            return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer to BLMOVE").into());
        };
        let entry: Option<Vec<u8>> = answer?;
        Ok(match entry {
            Some(entry) => self.accept(&entry).await,
            None => None,
        })
    }

    /// An entry that is no id, or is being handled already, is dropped.
    async fn accept(&self, entry: &[u8]) -> Option<OperationId> {
        let id = parse(entry);
        match id {
            Some(id) if self.inflight.receive(id) => Some(id),
            _ => {
                self.metrics.dropped();
                tracing::warn!(queue = %self.queue, known = id.is_some(), "dropped an entry that is not a new id");
                if let Err(error) = self.lists.forget(self.queue, self.worker, entry).await {
                    tracing::debug!(%error, "a dropped entry stays on the list for now");
                }
                None
            }
        }
    }

    async fn connect(&mut self) -> Result<MultiplexedConnection, RedisError> {
        if let Some(connection) = &self.connection {
            return Ok(connection.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(1)))
            .set_response_timeout(None);
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        let ask = async {
            let id: i64 = redis::cmd("CLIENT").arg("ID").query_async(&mut connection).await?;
            Ok::<_, RedisError>(id)
        };
        let id = timeout(Duration::from_secs(2), ask)
            .await
            .map_err(|_| std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer to CLIENT ID"))??;
        self.reconcile(&mut connection).await?;
        self.connection_id.store(id, Ordering::SeqCst);
        self.connection = Some(connection.clone());
        Ok(connection)
    }

    /// Whatever is on our own list and not being handled was received without our noticing: a lost reply.
    async fn reconcile(&mut self, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        let mut command = redis::cmd("LRANGE");
        command.arg(self.queue.processing_key(self.worker)).arg(0).arg(-1);
        let entries: Vec<Vec<u8>> = timeout(Duration::from_secs(2), command.query_async(connection))
            .await
            .map_err(|_| std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer to LRANGE"))??;
        self.reconciled = Instant::now();
        for entry in entries.iter().rev() {
            if parse(entry).is_some_and(|id| self.inflight.is_received(id)) {
                continue;
            }
            if let Some(id) = self.accept(entry).await {
                self.backlog.push_back(id);
            }
        }
        Ok(())
    }
}

fn parse(entry: &[u8]) -> Option<OperationId> {
    std::str::from_utf8(entry).ok()?.parse().ok()
}
