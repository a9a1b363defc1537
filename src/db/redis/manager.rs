//! Makes every connection to Redis, and judges them. The only implementation of a bb8 manager.

use std::sync::Arc;
use std::time::Duration;

use bb8::ManageConnection;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, RedisError};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::failure::late;
use super::generation::Generations;
use super::location::RedisLocation;
use super::role::require_primary;

/// The time to find the primary, connect, log in and ask for the role.
const CONNECT: Duration = Duration::from_millis(1500);

/// Connections are replaced at this age, so that a former primary that no longer hears of its Sentinels is left even if it
/// answers.
const LIFETIME: Duration = Duration::from_secs(30);

/// Makes connections to the primary.
#[derive(Clone, Debug)]
pub(super) struct Manager {
    pub(super) location: RedisLocation,
    pub(super) generations: Arc<Generations>,
    /// The last failure to connect. Those who wait for a connection then know why there is none.
    pub(super) failures: Arc<watch::Sender<Option<RedisError>>>,
}

/// A connection to what was the primary when it was made.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) multiplexed: MultiplexedConnection,
    pub(super) address: ConnectionAddr,
    pub(super) generation: u64,
    made: Instant,
    /// Whether a command was sent whose answer has not come. Nothing is known of a connection that is returned like this.
    pub(super) unanswered: bool,
}

impl Connection {
    /// Whether it may be used.
    pub(super) fn is_current(&self, generations: &Generations) -> bool {
        self.generation == generations.current() && self.made.elapsed() < LIFETIME
    }
}

impl Manager {
    async fn make(&self) -> Result<Connection, RedisError> {
        let primary = self.location.primary().await?;
        let address = primary.addr().clone();
        let generation = self.generations.at(&address);
        // The sender of a command sets its deadline; a blocking one must not have any here.
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(None);
        let client = Client::open(primary)?;
        let mut multiplexed = client.get_multiplexed_async_connection_with_config(&config).await?;
        require_primary(&mut multiplexed, &address).await?;
        Ok(Connection { multiplexed, address, generation, made: Instant::now(), unanswered: false })
    }
}

impl ManageConnection for Manager {
    type Connection = Connection;
    type Error = RedisError;

    async fn connect(&self) -> Result<Connection, RedisError> {
        let made = timeout(CONNECT, self.make()).await.unwrap_or_else(|_| Err(late("connecting")));
        if let Err(error) = &made {
            self.failures.send_replace(Some(error.clone()));
        }
        made
    }

    /// Costs no round trip: what a connection met is known already.
    async fn is_valid(&self, connection: &mut Connection) -> Result<(), RedisError> {
        if connection.is_current(&self.generations) {
            Ok(())
        } else {
            Err((ErrorKind::Client, "the connection is of a former generation, or old").into())
        }
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.unanswered || !connection.is_current(&self.generations)
    }
}
