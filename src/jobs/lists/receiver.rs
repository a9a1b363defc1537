//! Receives ids on a dedicated connection: a blocking command on a shared connection would delay all commands behind
//! it, and a response timeout would lose ids (docs/contracts/jobs.md 0.5, 0.6).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::future::join;
use redis::RedisError;
use redis::aio::MultiplexedConnection;
use tokio::time::{Instant, timeout};

use crate::db::OwnConnection;
use crate::jobs::lane::Lane;
use crate::jobs::queue::Queue;
use crate::jobs::run::inflight::InFlight;
use crate::kernel::{Backoff, OperationId};
use crate::telemetry::Outage;

use super::acks::Acks;
use super::commands;

/// How often the processing list is compared with the ids that are being handled, in case a reply was lost although the
/// connection did not fail.
const RECONCILE: Duration = Duration::from_secs(30);

/// The least time between two log lines about dropped entries.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The longest blocking receive, so that the worker regularly sees other events.
const LONGEST_BLOCK: Duration = Duration::from_secs(2);

/// Shorter than the five seconds within which work must continue once Redis is back.
const RECONNECT: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(3));

/// The timeout of a command that does not block.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A blocking receive that returns sooner than this found a non-empty ready list, so the next one takes several ids.
const IMMEDIATELY: Duration = Duration::from_millis(1);

/// Receives the ids of one worker.
pub(super) struct Receiver {
    lane: Lane,
    inflight: InFlight,
    acks: Arc<Acks>,
    connection: Option<OwnConnection>,
    /// The Redis id of the connection, to unblock it; 0 while there is none.
    connection_id: Arc<AtomicI64>,
    /// Whether the ready list was not exhausted by the last receive, so that the next one need not block.
    flowing: bool,
    backlog: VecDeque<OperationId>,
    reconciled: Instant,
    failures: u32,
    outage: Outage,
    invalid: InvalidEntries,
}

impl Receiver {
    pub(super) fn new(lane: Lane, inflight: InFlight, acks: Arc<Acks>) -> Self {
        Self {
            lane: Lane { block: lane.block.min(LONGEST_BLOCK), ..lane },
            inflight,
            acks,
            connection: None,
            connection_id: Arc::new(AtomicI64::new(0)),
            flowing: false,
            backlog: VecDeque::new(),
            reconciled: Instant::now(),
            failures: 0,
            outage: Outage::of("receiving from Redis"),
            invalid: InvalidEntries::default(),
        }
    }

    /// The id of the blocking connection, for `Lists::unblock`.
    pub(super) fn connection_id(&self) -> Arc<AtomicI64> {
        self.connection_id.clone()
    }

    /// Receives up to `limit` ids, or none after about the block time. Never fails: a broken connection is replaced
    /// with backoff. The future must be awaited to its end: dropped earlier, it could lose ids that it has received.
    pub(super) async fn next(&mut self, limit: usize) -> Vec<OperationId> {
        if self.backlog.is_empty() {
            match self.receive(limit).await {
                Ok(()) => {
                    self.outage.works();
                    self.failures = 0;
                    self.acks.receiver_is_back();
                }
                Err(error) => self.start_over(&error).await,
            }
        } else {
            self.acks.receiver_is_away();
        }
        self.backlog.drain(..limit.min(self.backlog.len())).collect()
    }

    /// Whether the last receive failed.
    pub(super) const fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Takes the received ids that no handler has begun.
    pub(super) fn take_backlog(&mut self) -> VecDeque<OperationId> {
        std::mem::take(&mut self.backlog)
    }

    async fn start_over(&mut self, error: &RedisError) {
        self.acks.receiver_is_away();
        self.lane.metrics.receive_failed();
        if let Some(connection) = self.disconnect() {
            connection.met(error);
        }
        self.lane.clear_after(error).await;
        self.outage.failed(error);
        tokio::time::sleep(RECONNECT.jittered(self.failures)).await;
        self.failures = self.failures.saturating_add(1);
    }

    /// Fills the backlog with at most `limit` ids in one round trip.
    async fn receive(&mut self, limit: usize) -> Result<(), RedisError> {
        let connection = self.connect().await?;
        if self.reconciled.elapsed() >= RECONCILE {
            self.reconcile(&mut connection.clone()).await?;
        }
        if !self.backlog.is_empty() {
            return Ok(());
        }
        let entries = if self.flowing {
            self.take_some(connection, limit).await?
        } else {
            Vec::from_iter(self.wait_for_one(connection).await?)
        };
        for entry in entries {
            let accepted = self.accept(&entry).await;
            self.backlog.extend(accepted);
        }
        Ok(())
    }

    async fn wait_for_one(&mut self, connection: MultiplexedConnection) -> Result<Option<Vec<u8>>, RedisError> {
        let (ready, own) = (self.lane.queue.ready_key(), self.lane.queue.processing_key(self.lane.worker));
        let mut command = redis::cmd("BLMOVE");
        command.arg(ready).arg(own).arg("RIGHT").arg("LEFT").arg(self.lane.block.as_secs_f64());
        let asked = Instant::now();
        let done = self.acks.take(false);
        let mut asking = connection.clone();
        let answer = command.query_async(&mut asking);
        let entry: Option<Vec<u8>> =
            self.trip(connection, done, answer, self.lane.block + RESPONSE_TIMEOUT / 2).await?;
        self.flowing = entry.is_some() && asked.elapsed() < IMMEDIATELY;
        Ok(entry)
    }

    async fn take_some(
        &mut self,
        mut connection: MultiplexedConnection,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, RedisError> {
        let (ready, own) = (self.lane.queue.ready_key(), self.lane.queue.processing_key(self.lane.worker));
        let done = self.acks.take(true);
        let mut commands = commands::forgets(self.lane.queue, self.lane.worker, &done);
        for _ in 0..limit {
            commands.cmd("LMOVE").arg(&ready).arg(&own).arg("RIGHT").arg("LEFT");
        }
        let answer = timeout(RESPONSE_TIMEOUT, commands.query_async(&mut connection)).await;
        let entries: Result<Vec<Option<Vec<u8>>>, _> = answer.unwrap_or_else(|_| Err(no_answer("a receive")));
        // An error of any command counts as one of the connection; `reconcile` finds ids that were moved nevertheless.
        if entries.is_ok() {
            self.acks.dropped(&done).await;
        } else {
            self.acks.put_back(done);
        }
        let entries: Vec<_> = entries?.into_iter().flatten().collect();
        self.flowing = entries.len() == limit;
        Ok(entries)
    }

    /// Sends the acknowledgements of `done` ahead of a command that may block. Each has its own answer.
    async fn trip<T>(
        &self,
        mut connection: MultiplexedConnection,
        done: Vec<OperationId>,
        answer: impl Future<Output = Result<T, RedisError>>,
        time_limit: Duration,
    ) -> Result<T, RedisError> {
        let mut dropped = done.is_empty();
        let forget = async {
            if !dropped {
                commands::forgets(self.lane.queue, self.lane.worker, &done).exec_async(&mut connection).await?;
                dropped = true;
            }
            Ok::<_, RedisError>(())
        };
        let answers = timeout(time_limit, join(forget, answer)).await;
        if dropped {
            self.acks.dropped(&done).await;
        } else {
            self.acks.put_back(done);
        }
        let (forgotten, answer) = answers.map_err(|_| no_answer("a receive"))?;
        // An error in either answer counts as one of the connection; `reconcile` finds ids that were moved
        // nevertheless.
        forgotten?;
        answer
    }

    /// Returns the id of an entry. Drops an entry that is not an id or whose id is being handled already.
    async fn accept(&mut self, entry: &[u8]) -> Option<OperationId> {
        let id = parse(entry);
        match id {
            Some(id) if self.inflight.receive(id) => Some(id),
            _ => {
                self.lane.metrics.dropped();
                self.invalid.log(self.lane.queue, id.is_some());
                if let Err(error) = self.lane.lists.forget(self.lane.queue, self.lane.worker, entry).await {
                    tracing::debug!(%error, "an invalid entry could not be removed from the processing list");
                }
                None
            }
        }
    }

    /// Nothing is under way on the connection now, so that it may be replaced.
    async fn connect(&mut self) -> Result<MultiplexedConnection, RedisError> {
        if let Some(connection) = self.connection.as_ref().filter(|connection| connection.is_current()) {
            return Ok(connection.connection());
        }
        self.disconnect();
        let own = self.lane.lists.connection().own_connection().await?;
        let mut connection = own.connection();
        let ask = async {
            let id: i64 = redis::cmd("CLIENT").arg("ID").query_async(&mut connection).await?;
            Ok::<_, RedisError>(id)
        };
        let id = timeout(RESPONSE_TIMEOUT, ask).await.map_err(|_| no_answer("CLIENT ID"))??;
        self.reconcile(&mut connection).await?;
        self.flowing = false;
        self.connection_id.store(id, Ordering::SeqCst);
        self.connection = Some(own);
        Ok(connection)
    }

    fn disconnect(&mut self) -> Option<OwnConnection> {
        self.connection_id.store(0, Ordering::SeqCst);
        self.connection.take()
    }

    /// Finds ids on our processing list that are not being handled: they were moved by a command whose reply was lost.
    async fn reconcile(&mut self, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        let mut command = redis::cmd("LRANGE");
        command.arg(self.lane.queue.processing_key(self.lane.worker)).arg(0).arg(-1);
        let entries: Vec<Vec<u8>> =
            timeout(RESPONSE_TIMEOUT, command.query_async(connection)).await.map_err(|_| no_answer("LRANGE"))??;
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

fn no_answer(command: &str) -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no answer to {command}")).into()
}

/// Counts dropped entries and logs at most one line in ten seconds: there may be millions of them.
#[derive(Default)]
struct InvalidEntries {
    logged_at: Option<Instant>,
    unlogged: u64,
}

impl InvalidEntries {
    fn log(&mut self, queue: Queue, known: bool) {
        self.unlogged += 1;
        if self.logged_at.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            let count = std::mem::take(&mut self.unlogged);
            tracing::warn!(%queue, known, count, "dropped {count} entries that are not new ids");
            self.logged_at = Some(Instant::now());
        }
    }
}

fn parse(entry: &[u8]) -> Option<OperationId> {
    std::str::from_utf8(entry).ok()?.parse().ok()
}
