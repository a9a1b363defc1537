//! The Redis of queues and live state.

use std::time::Duration;

use url::Url;

use super::key::{Key, keys};
use super::reader::{Reader, Reported, Settings};
use crate::kernel::Secret;

keys! { "Redis";
    /// The Redis (or Valkey) that all roles share. Its `maxmemory-policy` must be `noeviction`. Separate several
    /// Sentinels by commas.
    REDIS_URL = Key::required("REDIS_URL")
        .secret()
        .expects("redis://, rediss:// or redis+unix:// URL, or redis+sentinel://<host>:<port>,…/<service>[/<db>]")
        .example("redis://127.0.0.1:6379/0");
    /// The timeout of a command that does not block. It must not be less than `JOB_BLOCK_MS`.
    REDIS_RESPONSE_TIMEOUT_MS = Key::default("REDIS_RESPONSE_TIMEOUT_MS", "2000").number(100..=60_000);
}

/// How to find the Redis server.
#[derive(Clone, Debug)]
pub enum RedisTarget {
    /// At a fixed address.
    Direct {
        /// The URL with credentials.
        url: Secret,
    },
    /// At the address of the master that the Sentinels report.
    Sentinel {
        /// One URL for each Sentinel.
        sentinels: Vec<String>,
        /// The name of the monitored master.
        service: String,
        /// The user name at the master.
        username: Option<String>,
        /// The password at the master.
        password: Option<Secret>,
        /// The number of the database.
        db: i64,
    },
}

/// The Redis of queues and live state.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// How to find the server.
    pub target: RedisTarget,
    /// The timeout of a command that does not block.
    pub response_timeout: Duration,
}

impl Settings for RedisConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let target = env.get(&REDIS_URL, target);
        let response_timeout = env.millis(&REDIS_RESPONSE_TIMEOUT_MS);
        Ok(Self { target: target?, response_timeout: response_timeout? })
    }
}

fn target(text: &str) -> Result<RedisTarget, &'static str> {
    if let Some(rest) = text.strip_prefix("redis+sentinel://") {
        return sentinel(rest);
    }
    let url = Url::parse(text).map_err(|_| "not a URL")?;
    let number = url.path().trim_start_matches('/');
    match url.scheme() {
        "redis" | "rediss" if url.has_host() && (number.is_empty() || number.parse::<u16>().is_ok()) => {}
        "redis+unix" | "unix" if url.path().len() > 1 => {}
        _ => return Err("not a Redis URL"),
    }
    Ok(RedisTarget::Direct { url: Secret::new(text) })
}

/// `[user[:password]@]host:port[,host:port]/service[/db]`
fn sentinel(rest: &str) -> Result<RedisTarget, &'static str> {
    let (credentials, rest) = rest.rsplit_once('@').map_or((None, rest), |(before, after)| (Some(before), after));
    let (hosts, path) = rest.split_once('/').ok_or("no service name")?;
    let (service, db) = path.split_once('/').unwrap_or((path, "0"));
    let db = db.parse().map_err(|_| "the database is not a number")?;
    if service.is_empty() || hosts.is_empty() {
        return Err("no service name or no Sentinel");
    }
    let sentinels = hosts.split(',').map(|host| {
        let url = format!("redis://{}", host.trim());
        Url::parse(&url).ok().filter(Url::has_host).map(|_| url).ok_or("a Sentinel is not <host>:<port>")
    });
    let (username, password) = match credentials {
        None => (None, None),
        Some(pair) => pair.split_once(':').map_or((None, Some(pair)), |(user, password)| (Some(user), Some(password))),
    };
    let decode = |text: &str| {
        url::form_urlencoded::parse(format!("x={}", text.replace('+', "%2B")).as_bytes())
            .next()
            .map(|(_, value)| value.into_owned())
    };
    Ok(RedisTarget::Sentinel {
        sentinels: sentinels.collect::<Result<_, _>>()?,
        service: service.to_owned(),
        username: username.filter(|user| !user.is_empty()).and_then(decode),
        password: password.and_then(decode).map(Secret::new),
        db,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentinel_url_is_split_into_its_parts() {
        let RedisTarget::Sentinel { sentinels, service, username, password, db } =
            target("redis+sentinel://zpack:p%40ss+1@s1:26379,s2:26379/mymaster/3").unwrap()
        else {
            panic!("not a Sentinel target")
        };
        assert_eq!(sentinels, ["redis://s1:26379", "redis://s2:26379"]);
        assert_eq!((service.as_str(), username.as_deref(), db), ("mymaster", Some("zpack"), 3));
        assert_eq!(password.unwrap().expose(), "p@ss+1");
    }

    #[test]
    fn other_urls_are_refused() {
        assert!(target("redis://127.0.0.1:6379/0").is_ok());
        assert!(target("redis+unix:///run/redis.sock").is_ok());
        for text in ["http://a", "redis://", "redis://a/b", "redis+sentinel://a:1", "redis+sentinel:///m", "localhost"]
        {
            assert!(target(text).is_err(), "{text}");
        }
    }
}
