//! The live state of servers in Redis: written by the poller, read by the API. Losing it costs one poll interval.
//!
//! - `agent:<server>`: the last answer of the agent ([`AgentFacts`]); expires after three intervals.
//! - `agent:<server>:history`: when the agent was polled and seen, and crashes ([`AgentHistory`]); kept for 30 days.
//! - `host:<vmid>`: the last observation at the hypervisor ([`HostFacts`]); kept for an hour and judged by its age.
//! - `host:failed`: when the last failed listing of the hypervisor began; kept for an hour.
//! - `ping:<server>`: when the server was pinged and how its answers changed ([`super::facts::PingHistory`]); kept for a day.
//! - `poll:<vmid>`, `poll:ping:<server>`, `poll:hosts`, `poll:proxy`: claims of the process that polls, pings or lists in
//!   this interval.
//! - `router:poll`: the last poll of Traefik ([`super::router_polls`]).
//!
//! A VMID is reused, and a new server must not inherit observations of an old one. Agents' answers are therefore stored
//! under the id of the server, which is never reused: a late poll of the old server writes to a key that is no longer
//! read. The hypervisor knows VMIDs only, so an observation from before the server was recorded does not count. Each
//! observation carries the time its listing began, and a server is recorded when its own container is already running,
//! so a newer one cannot be about another container.
//!
//! A reader of up to 800 servers waits at most 200 ms, and none fails: state that cannot be read is [`Live::Unreadable`].

mod pings;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use redis::{AsyncCommands, ExistenceCheck, Pipeline, RedisError, SetExpiry, SetOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::facts::{AgentFacts, AgentHistory, Facts, HostFacts, Live};
use super::router_polls::{self, StoredPolls};
use crate::db::RedisPool;
use crate::db::entities::instance;
use crate::kernel::{InstanceId, Timestamp, VmId};
use crate::servers::store::PollTarget;
use crate::telemetry::Outage;

const READ_LIMIT: Duration = Duration::from_millis(200);
const HISTORY_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const HOST_TTL: Duration = Duration::from_secs(60 * 60);
/// The key of the time at which the last failed listing began.
const LISTING_FAILED: &str = "host:failed";
/// How many servers one reading covers, which has [`READ_LIMIT`].
const READ_PART: usize = 200;
/// How many parts are read at a time.
const PARTS_AT_A_TIME: usize = 4;
/// How many servers one pipeline covers.
const BATCH: usize = 500;

/// The live state. Cheap to clone.
#[derive(Clone)]
pub struct LiveState {
    redis: RedisPool,
    agent_ttl: Duration,
    outage: Arc<Outage>,
}

/// Whose observations are read.
#[derive(Clone, Copy, Debug)]
pub struct LiveKey {
    /// The server.
    pub id: InstanceId,
    /// Its VMID.
    pub vmid: VmId,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

/// A server that this process polls in this interval.
#[derive(Clone, Debug, PartialEq)]
pub struct PollClaim {
    /// What is stored of its agent.
    pub history: Option<AgentHistory>,
    /// The last answer of its agent.
    pub facts: Option<AgentFacts>,
    /// Whether its agent did not answer the last poll.
    pub unresponsive: bool,
}

/// Why a part could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("Redis did not answer in time")]
    Late,
    #[error(transparent)]
    Redis(#[from] RedisError),
}

impl LiveState {
    /// The live state in `redis`; an agent's answer is kept for `agent_ttl`.
    pub fn new(redis: RedisPool, agent_ttl: Duration) -> Self {
        Self { redis, agent_ttl, outage: Arc::new(Outage::of("reading the live state")) }
    }

    /// The last poll of Traefik.
    pub fn router_polls(&self) -> StoredPolls {
        StoredPolls::new(self.redis.clone())
    }

    /// The last observations of each of `servers`, in their order.
    pub async fn read(&self, servers: &[&instance::Model]) -> Vec<Live> {
        let key = |row: &&instance::Model| LiveKey { id: row.id, vmid: row.vmid, recorded_at: row.created_at };
        self.read_keys(&servers.iter().map(key).collect::<Vec<_>>()).await
    }

    /// The last observations of each of `servers`, in their order; one round trip for each 200 of them. Those of a part
    /// that cannot be read in time are unreadable.
    pub(super) async fn read_keys(&self, servers: &[LiveKey]) -> Vec<Live> {
        let (mut read, mut failure) = (Vec::with_capacity(servers.len()), None);
        for parts in servers.chunks(READ_PART * PARTS_AT_A_TIME) {
            let answers = join_all(parts.chunks(READ_PART).map(|part| self.read_part(part))).await;
            for (part, answer) in parts.chunks(READ_PART).zip(answers) {
                match answer {
                    Ok(live) => read.extend(live),
                    Err(error) => {
                        failure = Some(error);
                        read.extend(part.iter().map(|_| Live::Unreadable));
                    }
                }
            }
        }
        match failure {
            Some(error) => self.outage.failed(error),
            None if servers.is_empty() => {}
            None => self.outage.works(),
        }
        read
    }

    async fn read_part(&self, servers: &[LiveKey]) -> Result<Vec<Live>, ReadError> {
        let keys: Vec<String> = [LISTING_FAILED, router_polls::KEY]
            .map(str::to_owned)
            .into_iter()
            .chain(servers.iter().flat_map(|key| [agent_key(key.id), history_key(key.id), host_key(key.vmid)]))
            .collect();
        let mut redis = self.redis.clone();
        let reading = tokio::time::timeout(READ_LIMIT, redis.mget::<_, Vec<Option<String>>>(&keys));
        let mut values = reading.await.map_err(|_| ReadError::Late)??.into_iter();
        let mut next = || values.next().flatten();
        let observation_failed_at: Option<Timestamp> = parse(next());
        let router_polled_at = router_polls::parse(next()).map(|poll| poll.at);
        let facts = servers.iter().map(|key| {
            let (agent, history, host) = (parse(next()), parse(next()), parse::<HostFacts>(next()));
            let host = host.filter(|host| host.observed_at >= key.recorded_at);
            Live::Facts(Facts { agent, history, host, observation_failed_at, router_polled_at })
        });
        Ok(facts.collect())
    }

    /// Claims each of `targets` for `hold`, and returns what is stored of its agent; `None` where another process
    /// polls.
    pub(super) async fn claim(
        &self,
        targets: &[PollTarget],
        hold: Duration,
    ) -> Result<Vec<Option<PollClaim>>, RedisError> {
        let mut pipe = redis::pipe();
        for target in targets {
            claim_command(&mut pipe, &poll_key(target.vmid), hold);
            pipe.get(agent_key(target.id)).get(history_key(target.id));
        }
        if targets.is_empty() {
            return Ok(Vec::new());
        }
        let answers: Vec<redis::Value> = pipe.query_async(&mut self.redis.clone()).await?;
        answers
            .chunks(3)
            .map(|answer| {
                let [claimed, facts, history] = answer else { return Ok(None) };
                let claimed: Option<String> = redis::from_redis_value_ref(claimed)?;
                let facts: Option<AgentFacts> = parse(redis::from_redis_value_ref(facts)?);
                let history: Option<AgentHistory> = parse(redis::from_redis_value_ref(history)?);
                let unresponsive = history.as_ref().is_some_and(|history| history.unanswered > 0 || facts.is_none());
                Ok(claimed.map(|_| PollClaim { history, facts, unresponsive }))
            })
            .collect()
    }

    /// What is stored of each agent beyond its last answer.
    pub(super) async fn histories(&self, targets: &[PollTarget]) -> Result<Vec<Option<AgentHistory>>, RedisError> {
        if targets.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<String> = targets.iter().map(|target| history_key(target.id)).collect();
        let stored: Vec<Option<String>> = self.redis.clone().mget(&keys).await?;
        Ok(stored.into_iter().map(parse).collect())
    }

    /// Claims the listing of all containers for `hold`; false when another process has claimed it.
    pub(super) async fn claim_hosts(&self, hold: Duration) -> Result<bool, RedisError> {
        self.claim_listing("poll:hosts", hold).await
    }

    async fn claim_listing(&self, key: &str, hold: Duration) -> Result<bool, RedisError> {
        let options =
            SetOptions::default().conditional_set(ExistenceCheck::NX).with_expiration(SetExpiry::PX(millis(hold)));
        let claimed: Option<String> = self.redis.clone().set_options(key, 1, options).await?;
        Ok(claimed.is_some())
    }

    /// Stores that the agent of `server` was polled, and its answer. Without an answer the previous one stays until it
    /// expires.
    pub(super) async fn record_agent(
        &self,
        server: InstanceId,
        answer: Option<&AgentFacts>,
        history: &AgentHistory,
    ) -> Result<(), RedisError> {
        let mut pipe = redis::pipe();
        if let Some(facts) = answer {
            pipe.pset_ex(agent_key(server), json(facts), millis(self.agent_ttl)).ignore();
        }
        pipe.pset_ex(history_key(server), json(history), millis(HISTORY_TTL)).ignore();
        pipe.query_async(&mut self.redis.clone()).await
    }

    /// Stores that the listing that began at `begun` failed.
    pub(super) async fn record_failed_listing(&self, begun: Timestamp) -> Result<(), RedisError> {
        self.redis.clone().pset_ex(LISTING_FAILED, json(&begun), millis(HOST_TTL)).await
    }

    /// Stores what a listing of the hypervisor contained.
    pub(super) async fn record_hosts(&self, hosts: &[(VmId, HostFacts)]) -> Result<(), RedisError> {
        for batch in hosts.chunks(BATCH) {
            let mut pipe = redis::pipe();
            for (vmid, facts) in batch {
                pipe.pset_ex(host_key(*vmid), json(facts), millis(HOST_TTL)).ignore();
            }
            let () = pipe.query_async(&mut self.redis.clone()).await?;
        }
        Ok(())
    }
}

fn claim_command(pipe: &mut Pipeline, key: &str, hold: Duration) {
    pipe.cmd("SET").arg(key).arg(1).arg("NX").arg("PX").arg(millis(hold));
}

fn agent_key(server: InstanceId) -> String {
    format!("agent:{server}")
}

fn history_key(server: InstanceId) -> String {
    format!("agent:{server}:history")
}

fn host_key(vmid: VmId) -> String {
    format!("host:{vmid}")
}

fn poll_key(vmid: VmId) -> String {
    format!("poll:{vmid}")
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// Plain structs of strings and numbers: serializing them cannot fail.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// A value of another version of zpack that this one cannot read counts as absent.
fn parse<T: DeserializeOwned>(text: Option<String>) -> Option<T> {
    serde_json::from_str(&text?).ok()
}
