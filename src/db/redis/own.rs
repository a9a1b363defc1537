//! A connection for commands that block: it belongs to its user, and no pool waits for it.

use std::sync::Arc;

use redis::RedisError;
use redis::aio::MultiplexedConnection;

use super::failure::breaks;
use super::generation::Generations;
use super::manager::Connection;

/// A connection of one's own, without response timeout. Dropping it closes it once the clones that
/// [`connection`](Self::connection) returned are dropped too.
#[derive(Debug)]
pub struct OwnConnection {
    pub(super) connection: Connection,
    pub(super) generations: Arc<Generations>,
}

impl OwnConnection {
    /// To send commands on.
    pub fn connection(&self) -> MultiplexedConnection {
        self.connection.multiplexed.clone()
    }

    /// Whether it should be used again; otherwise drop it and open another.
    pub fn is_current(&self) -> bool {
        self.connection.is_current(&self.generations)
    }

    /// Notes what a command on it met.
    pub fn met(&self, error: &RedisError) {
        if breaks(error) {
            self.generations.end(self.connection.generation);
        }
    }
}
