//! The pool for short commands.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bb8::{Pool, PooledConnection, QueueStrategy, RunError};
use redis::aio::ConnectionLike;
use redis::{Cmd, Pipeline, RedisError, RedisFuture, Value};
use tokio::runtime::{Handle, Id};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::failure::{break_in, breaks, late};
use super::generation::Generations;
use super::location::RedisLocation;
use super::manager::Manager;
use super::own::OwnConnection;
use super::role::require_primary;

/// Connections of a runtime for short commands, at most. Each is busy for one round trip at a time.
const MOST: u32 = 8;

/// The connections of a process. Commands, pipelines and scripts are sent on it as on one connection, each on whichever is
/// free and within the response timeout. Commands that block need an [`OwnConnection`]. Cheap to clone.
///
/// Each runtime has connections of its own (the server has a runtime for each of its threads): a connection is read by the
/// runtime that made it, and every answer to another one would wake two threads.
#[derive(Clone, Debug)]
pub struct RedisPool {
    manager: Manager,
    pools: Arc<Mutex<HashMap<Id, Pool<Manager>>>>,
    generations: Arc<Generations>,
    failures: watch::Receiver<Option<RedisError>>,
    limit: Duration,
    db: i64,
}

impl RedisPool {
    /// Connects when the first command is sent: Redis need not be there yet. A command has `limit` for its connection and
    /// its answer.
    pub fn new(location: RedisLocation, limit: Duration) -> Self {
        let (generations, (sender, failures)) = (Arc::new(Generations::default()), watch::channel(None));
        let db = location.db();
        let manager = Manager { location, generations: generations.clone(), failures: Arc::new(sender) };
        Self { manager, pools: Arc::default(), generations, failures, limit, db }
    }

    /// The pool of this runtime.
    fn pool(&self) -> Pool<Manager> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let pool = pools.entry(Handle::current().id()).or_insert_with(|| self.new_pool());
        pool.clone()
    }

    fn new_pool(&self) -> Pool<Manager> {
        // Age and failed attempts are the manager's business: bb8 would need a task for the one and would wait for the other.
        Pool::builder()
            .max_size(MOST)
            .connection_timeout(self.limit)
            .retry_connection(false)
            .max_lifetime(None)
            .idle_timeout(None)
            .queue_strategy(QueueStrategy::Lifo)
            .build_unchecked(self.manager.clone())
    }

    /// A connection of one's own, for commands that block.
    pub async fn own_connection(&self) -> Result<OwnConnection, RedisError> {
        Ok(OwnConnection {
            connection: self.pool().dedicated_connection().await?,
            generations: self.generations.clone(),
        })
    }

    /// Demands that the server behind the pool is the primary.
    pub async fn require_primary(&self) -> Result<(), RedisError> {
        let deadline = Instant::now() + self.limit;
        let mut borrowed = self.borrow(deadline).await?;
        borrowed.unanswered = true;
        let address = borrowed.address.clone();
        let asking = require_primary(&mut borrowed.multiplexed, &address);
        let answer = timeout_at(deadline, asking).await.unwrap_or_else(|_| Err(late("ROLE")));
        self.judge(&mut borrowed, answer.is_err());
        answer
    }

    /// A free connection. Fails as soon as an attempt to connect does, because then there is nothing to wait for.
    async fn borrow(&self, deadline: Instant) -> Result<PooledConnection<'static, Manager>, RedisError> {
        let mut failures = self.failures.clone();
        failures.mark_unchanged();
        let pool = self.pool();
        let borrowed = async {
            tokio::select! {
                biased;
                borrowed = pool.get_owned() => borrowed.map_err(|error| match error {
                    RunError::User(error) => error,
                    RunError::TimedOut => late("every connection is in use"),
                }),
                Ok(()) = failures.changed() => {
                    let failure = failures.borrow().clone();
                    Err(failure.unwrap_or_else(|| late("connecting")))
                }
            }
        };
        timeout_at(deadline, borrowed).await.unwrap_or_else(|_| Err(late("every connection is in use")))
    }

    /// Notes what a connection met. One whose command is dropped before that is returned unanswered, and replaced.
    fn judge(&self, borrowed: &mut PooledConnection<'_, Manager>, broken: bool) {
        if broken {
            self.generations.end(borrowed.generation);
        } else {
            borrowed.unanswered = false;
        }
    }
}

impl ConnectionLike for RedisPool {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let deadline = Instant::now() + self.limit;
            let mut borrowed = self.borrow(deadline).await?;
            borrowed.unanswered = true;
            let sent = timeout_at(deadline, borrowed.multiplexed.req_packed_command(command)).await;
            let answer = sent.unwrap_or_else(|_| Err(late("a command")));
            let broken = answer.as_ref().map_or_else(breaks, |value| break_in(std::slice::from_ref(value)));
            self.judge(&mut borrowed, broken);
            answer
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let deadline = Instant::now() + self.limit;
            let mut borrowed = self.borrow(deadline).await?;
            borrowed.unanswered = true;
            let sent = timeout_at(deadline, borrowed.multiplexed.req_packed_commands(pipeline, offset, count)).await;
            let answer = sent.unwrap_or_else(|_| Err(late("a pipeline")));
            let broken = answer.as_ref().map_or_else(breaks, |values| break_in(values));
            self.judge(&mut borrowed, broken);
            answer
        })
    }

    fn get_db(&self) -> i64 {
        self.db
    }
}
