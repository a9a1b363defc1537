//! Where the primary is: at one address, or wherever the Sentinels say.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisError,
};
use tokio::time::timeout;

use super::failure::late;

/// The time of a Sentinel to answer. One that is away does not hold up the others.
const ASK: Duration = Duration::from_millis(500);

/// How to find the primary.
#[derive(Clone, Debug)]
pub struct RedisLocation(Kind);

#[derive(Clone, Debug)]
enum Kind {
    At(Box<ConnectionInfo>),
    Behind { sentinels: Vec<ConnectionInfo>, service: String, login: RedisConnectionInfo },
}

/// What one Sentinel says.
struct Word {
    primary: ConnectionAddr,
    /// How many failovers it knows of: the Sentinel that knows of the most is right.
    epoch: u64,
}

impl RedisLocation {
    /// At one address.
    pub fn at(url: &str) -> Result<Self, RedisError> {
        let info = url.into_connection_info()?.set_tcp_settings(sockets());
        Ok(Self(Kind::At(Box::new(info))))
    }

    /// Wherever `sentinels` say that the primary of `service` is; `login` holds there.
    pub fn behind(sentinels: &[String], service: &str, login: RedisConnectionInfo) -> Result<Self, RedisError> {
        let place = |url: &String| Ok(url.as_str().into_connection_info()?.set_tcp_settings(sockets()));
        let sentinels: Result<_, RedisError> = sentinels.iter().map(place).collect();
        Ok(Self(Kind::Behind { sentinels: sentinels?, service: service.to_owned(), login }))
    }

    /// The number of the database.
    pub(super) fn db(&self) -> i64 {
        match &self.0 {
            Kind::At(info) => info.redis_settings().db(),
            Kind::Behind { login, .. } => login.db(),
        }
    }

    /// Where the primary is now.
    pub(super) async fn primary(&self) -> Result<ConnectionInfo, RedisError> {
        match &self.0 {
            Kind::At(info) => Ok(ConnectionInfo::clone(info)),
            Kind::Behind { sentinels, service, login } => {
                let address = ask_all(sentinels, service).await?;
                Ok(address.into_connection_info()?.set_tcp_settings(sockets()).set_redis_settings(login.clone()))
            }
        }
    }
}

/// Asks all at once, and waits for more than half of them.
async fn ask_all(sentinels: &[ConnectionInfo], service: &str) -> Result<ConnectionAddr, RedisError> {
    let mut asked: FuturesUnordered<_> = sentinels
        .iter()
        .map(|sentinel| async {
            timeout(ASK, ask(sentinel, service)).await.unwrap_or_else(|_| Err(late("SENTINEL MASTER")))
        })
        .collect();
    let mut words = Vec::new();
    let mut refusal = None;
    while words.len() * 2 <= sentinels.len() {
        match asked.next().await {
            Some(Ok(word)) => words.push(word),
            Some(Err(error)) => refusal = Some(error),
            None => break,
        }
    }
    let latest = words.into_iter().max_by_key(|word| word.epoch);
    latest.map(|word| word.primary).ok_or_else(|| unknown(service, refusal.as_ref()))
}

async fn ask(sentinel: &ConnectionInfo, service: &str) -> Result<Word, RedisError> {
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(ASK)).set_response_timeout(Some(ASK));
    let client = Client::open(sentinel.clone())?;
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let asking = redis::cmd("SENTINEL").arg("MASTER").arg(service).query_async(&mut connection).await;
    let fields: HashMap<String, String> = asking?;
    word(&fields).ok_or_else(|| unknown(service, None))
}

fn word(fields: &HashMap<String, String>) -> Option<Word> {
    let port = fields.get("port")?.parse().ok()?;
    let epoch = fields.get("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
    Some(Word { primary: ConnectionAddr::Tcp(fields.get("ip")?.clone(), port), epoch })
}

fn unknown(service: &str, refusal: Option<&RedisError>) -> RedisError {
    let reason = refusal.map(|error| format!(": {error}")).unwrap_or_default();
    std::io::Error::other(format!("no Sentinel knows the primary of `{service}`{reason}")).into()
}

/// The kernel gives up a connection whose other side has not acknowledged anything for five seconds: one that the
/// network has forgotten would be waited for far longer than Redis is away.
fn sockets() -> TcpSettings {
    TcpSettings::default().set_nodelay(true).set_user_timeout(Duration::from_secs(5))
}
