//! Pings the servers that run, each when it is due, by one process at a time.
//!
//! The history of a server's pings is in Redis, so that all processes agree on when it is due and one of them claims it.
//! Without Redis every process goes on alone, by what it remembers: whether a server runs is then the last that was known,
//! and one of which nothing is known is pinged too, but a missing answer of it is not stored, because it may be off.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join;
use tokio::task::JoinSet;

use super::observation::{ProxyObservation, Sighting};
use super::observer::{Observer, ProxyWatch};
use super::published::Published;
use crate::db::entities::instance::InstanceKind;
use crate::edge::PingState;
use crate::kernel::{InstanceId, Timestamp};
use crate::observe::facts::{Facts, Live, PingHistory, PollerId, observe};
use crate::observe::lanes::{InFlight, Lanes};
use crate::observe::pace::Pace;
use crate::observe::status::ServerStatus;
use crate::ports::PingTarget;
use crate::telemetry::{Panicked, caught};

/// How many servers are pinged at a time.
const PINGS_AT_A_TIME: usize = 128;
/// How many servers are read and claimed at a time.
const PART: usize = 200;
/// After so many parts in a row that could not be read, a pass does not try further ones.
const LATE_PARTS: usize = 2;

/// The pings of this process.
pub(super) struct Pings {
    lanes: Lanes,
    remembered: Remembered,
    running: JoinSet<Result<(), Panicked>>,
}

/// What this process remembers of a server, for when Redis cannot be read.
#[derive(Clone, Debug, Default)]
struct Memory {
    runs: Option<bool>,
    history: Option<PingHistory>,
}

/// The memory of all servers. Cheap to clone.
#[derive(Clone, Default)]
struct Remembered(Arc<Mutex<BTreeMap<InstanceId, Memory>>>);

impl Remembered {
    fn of(&self, server: InstanceId) -> Memory {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&server).cloned().unwrap_or_default()
    }

    fn set(&self, server: InstanceId, memory: Memory) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(server, memory);
    }

    fn retain(&self, servers: &[Arc<Published>]) {
        let present: BTreeSet<InstanceId> = servers.iter().map(|server| server.key.id).collect();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|server, _| present.contains(server));
    }
}

/// A server that may have to be pinged.
struct Candidate {
    server: Arc<Published>,
    /// `None` if that is not known.
    runs: Option<bool>,
    history: Option<PingHistory>,
    agent_changed_at: Option<Timestamp>,
}

impl Candidate {
    /// Whether `me` has to ping it.
    fn is_due(&self, pace: Pace, me: PollerId, now: Timestamp) -> bool {
        self.runs != Some(false)
            && due_at(pace, self.history.as_ref(), self.agent_changed_at, me).is_none_or(|at| at <= now)
    }
}

/// When `me` has to ping a server with `history`, whose agent changed at `agent_changed_at`; `None` if it never was
/// pinged.
fn due_at(
    pace: Pace,
    history: Option<&PingHistory>,
    agent_changed_at: Option<Timestamp>,
    me: PollerId,
) -> Option<Timestamp> {
    let PingHistory { asked_at, asked_by, changed_at, .. } = history?;
    let changed_at = agent_changed_at.map_or(*changed_at, |at| at.max(*changed_at));
    Some(pace.due_at(*asked_at, pace.wait(asked_at.since(changed_at)), *asked_by != me))
}

impl Pings {
    pub(super) fn new() -> Self {
        Self { lanes: Lanes::new(PINGS_AT_A_TIME), remembered: Remembered::default(), running: JoinSet::new() }
    }

    /// Starts a ping of each of `servers` that is due. Returns how many, and a panic of an earlier ping if there was one.
    pub(super) async fn start(
        &mut self,
        observer: &Observer,
        servers: &[(Arc<Published>, Option<Sighting>)],
    ) -> (usize, Option<Panicked>) {
        let (mut started, mut panicked) = (0, None);
        while let Some(ended) = self.running.try_join_next() {
            if let Ok(Err(panic)) = ended {
                panicked = Some(panic);
            }
        }
        let mut late = 0;
        for part in servers.chunks(PART) {
            let all: Vec<Arc<Published>> = part.iter().map(|(server, _)| server.clone()).collect();
            let (candidates, is_readable) = self.candidates(observer, all, late >= LATE_PARTS).await;
            late = if is_readable { 0 } else { late + 1 };
            let now = observer.watch.clock.now();
            let is_due = |(candidate, _): &(Candidate, Option<Sighting>)| {
                candidate.is_due(observer.pace(), observer.watch.id, now)
            };
            let sightings = part.iter().map(|(_, sighting)| sighting.clone());
            let due: Vec<_> = candidates.into_iter().zip(sightings).filter(is_due).collect();
            let ids: Vec<InstanceId> = due.iter().map(|(candidate, _)| candidate.server.key.id).collect();
            let ours = if is_readable && !ids.is_empty() {
                // A little shorter than the interval, so that our own claim has expired by the next pass.
                observer.watch.live.claim_pings(&ids, observer.watch.interval.mul_f64(0.9)).await.ok()
            } else {
                None
            };
            let ours = ours.unwrap_or_else(|| vec![true; ids.len()]);
            for ((candidate, sighting), _) in due.into_iter().zip(ours).filter(|(_, ours)| *ours) {
                if self.spawn(observer, candidate, sighting) {
                    started += 1;
                }
            }
        }
        (started, panicked)
    }

    /// What is known of each of `servers`, and whether it could be read.
    async fn candidates(
        &self,
        observer: &Observer,
        servers: Vec<Arc<Published>>,
        from_memory: bool,
    ) -> (Vec<Candidate>, bool) {
        let ProxyWatch { live, clock, freshness, .. } = &*observer.watch;
        let keys: Vec<_> = servers.iter().map(|server| server.key).collect();
        let ids: Vec<_> = keys.iter().map(|key| key.id).collect();
        let read = match from_memory {
            true => None,
            false => {
                let (facts, histories) = join(live.read_keys(&keys), live.ping_histories(&ids)).await;
                histories.ok().map(|histories| facts.into_iter().zip(histories).collect::<Vec<_>>())
            }
        };
        let is_readable = read.is_some();
        let mut read = read.unwrap_or_default().into_iter();
        let now = clock.now();
        let candidate = |server: Arc<Published>| {
            let memory = self.remembered.of(server.key.id);
            let (facts, history) = match read.next() {
                Some((Live::Facts(facts), history)) => (Some(facts), history),
                Some((Live::Unreadable, history)) => (None, history),
                None => (None, None),
            };
            let agent_changed_at =
                facts.as_ref().and_then(|facts: &Facts| facts.history.as_ref()).and_then(|history| history.changed_at);
            let status = |facts| observe(InstanceKind::Game, &Live::Facts(facts), now, *freshness).merged.status;
            let runs = facts.map(|facts| status(facts) == ServerStatus::Running).or(memory.runs);
            let history = history.or_else(|| memory.history.clone());
            self.remembered.set(server.key.id, Memory { runs, history: history.clone() });
            Candidate { server, runs, history, agent_changed_at }
        };
        (servers.into_iter().map(candidate).collect(), is_readable)
    }

    /// Starts a ping, unless the last one of this server has not ended.
    fn spawn(&mut self, observer: &Observer, candidate: Candidate, sighting: Option<Sighting>) -> bool {
        let Some(guard) = self.lanes.enter(candidate.server.key.vmid) else { return false };
        let answers = candidate.history.as_ref().is_none_or(PingHistory::is_answered);
        let (lane, remembered, observer) = (self.lanes.share(answers), self.remembered.clone(), observer.clone());
        let jitter = observer.watch.interval.mul_f64(rand::random_range(0.0..0.5));
        self.running.spawn(caught(async move {
            tokio::time::sleep(jitter).await;
            let Ok(_permit) = lane.acquire().await else { return };
            // Boxed, because a ping takes ten times the memory of one that waits.
            Box::pin(observer.ping(candidate, sighting, &remembered, guard)).await;
        }));
        true
    }

    /// Forgets servers that are no longer published.
    pub(super) fn retain(&self, servers: &[Arc<Published>]) {
        self.remembered.retain(servers);
    }
}

impl Observer {
    /// How often servers are pinged.
    fn pace(&self) -> Pace {
        Pace { fastest: self.watch.interval, slowest: self.watch.longest_ping_interval }
    }

    async fn ping(&self, candidate: Candidate, sighting: Option<Sighting>, remembered: &Remembered, _: InFlight) {
        let Candidate { server, runs, history, .. } = candidate;
        let ProxyWatch { ping, clock, live, id, .. } = &*self.watch;
        let (key, target) =
            (server.key, PingTarget { address: server.wanted.address, host: server.wanted.name.to_string() });
        let result = ping.ping(&target).await;
        let now = clock.now();
        let state = server.record().pinged(&result, now).ping_state(now);
        let history = PingHistory::after(history.as_ref(), state, *id, now);
        remembered.set(key.id, Memory { runs, history: Some(history.clone()) });
        if let Err(error) = live.record_ping(key.id, &history).await {
            tracing::debug!(vmid = %key.vmid, %error, "that {} was pinged could not be stored", key.vmid);
        }
        if runs.is_none() && state == PingState::Failed {
            return;
        }
        let (generation, sighting) = (server.generation, sighting.as_ref());
        self.store(&server, &ProxyObservation { generation, sighting, ping: Some((&result, now)) }).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ME: PollerId = PollerId(1);
    const PACE: Pace = Pace { fastest: Duration::from_secs(10), slowest: Duration::from_secs(60) };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn pinged(asked_at: i64, changed_at: i64, asked_by: PollerId) -> PingHistory {
        PingHistory { asked_at: at(asked_at), asked_by, state: PingState::Answered, changed_at: at(changed_at) }
    }

    #[test]
    fn a_server_is_pinged_often_after_its_answers_or_its_agent_changed() {
        let due = |history: &PingHistory, agent| due_at(PACE, Some(history), agent, ME).unwrap();
        assert_eq!(due_at(PACE, None, None, ME), None);
        assert_eq!(due(&pinged(1000, 1000, ME), None), at(1004));
        assert_eq!(due(&pinged(1000, 0, ME), None), at(1054));
        assert_eq!(due(&pinged(1000, 0, ME), Some(at(980))), at(1004));
        assert_eq!(due(&pinged(1000, 0, ME), Some(at(1010))), at(1004), "it changed after the ping");
        assert_eq!(due(&pinged(1000, 0, PollerId(2)), None), at(1064), "another process pings it");
    }

    #[test]
    fn a_server_that_does_not_run_is_not_pinged_and_one_that_may_run_is() {
        let registration = crate::edge::Registration {
            name: "mc.play.test".parse().unwrap(),
            address: "127.0.0.9:25565".parse().unwrap(),
        };
        let server = Arc::new(Published::for_test(registration));
        let due = |runs| {
            let candidate = Candidate { server: server.clone(), runs, history: None, agent_changed_at: None };
            candidate.is_due(PACE, ME, at(0))
        };
        assert_eq!([Some(true), Some(false), None].map(due), [true, false, true]);
    }
}
