//! When game servers are pinged, and by which of several processes: counted, not timed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use sea_orm::EntityTrait;
use tokio_util::sync::CancellationToken;
use zpack::background::Task;
use zpack::config::DatabaseKind;
use zpack::db::entities::instance;
use zpack::edge::{PROXY_KEY, PingState, ProxyRecord};
use zpack::kernel::{Clock, Timestamp};
use zpack::observe::facts::{AgentFacts, AgentHistory, Freshness, PingHistory, PollerId};
use zpack::observe::live::LiveState;
use zpack::observe::proxy_watch::{ProxyWatch, ProxyWatchTask};
use zpack::ports::{AgentReport, AgentState, Ping, PingReport, PingTarget, StatusPing};
use zpack::servers::payload;

use super::lease::candidate::wait_for;
use super::proxy_watch::published;
use crate::support::{PrivateRedis, TestDb, lists_at};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// From one pass to the next.
const INTERVAL: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_millis(400);
/// Passes in the longest time between two pings.
const PASSES: usize = 8;
const FIRST: i64 = 5000;

/// Game servers that answer or not, as the test says.
#[derive(Default)]
struct Games {
    pinged: Mutex<BTreeMap<String, usize>>,
    silent: AtomicBool,
}

impl Games {
    /// How often each was pinged since this was called last.
    fn pinged(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut self.pinged.lock().unwrap())
    }

    fn names(&self) -> BTreeSet<String> {
        self.pinged().into_keys().collect()
    }
}

#[async_trait]
impl StatusPing for Games {
    async fn ping(&self, target: &PingTarget) -> Ping {
        *self.pinged.lock().unwrap().entry(target.host.clone()).or_default() += 1;
        if self.silent.load(Ordering::SeqCst) {
            Ping::Unreachable { detail: "refused".to_owned() }
        } else {
            Ping::Answered(PingReport::default())
        }
    }
}

fn name(number: i64) -> String {
    format!("mc-paper-{number}.play.test")
}

struct Scene {
    db: TestDb,
    redis: Option<PrivateRedis>,
    url: String,
    clock: Clock,
}

impl Scene {
    /// `servers` published servers that run and have been the same for long.
    async fn of(servers: i64) -> Self {
        let (db, redis) = (TestDb::migrated(DatabaseKind::Sqlite).await, PrivateRedis::start());
        let scene = Self { db, url: redis.url(), redis: Some(redis), clock: Clock::fixed(NOW) };
        for number in FIRST..FIRST + servers {
            published(&scene.db, number, NOW.before(Duration::from_secs(3600))).await;
            scene.agent(number, AgentState::Running, Duration::from_secs(3600)).await;
        }
        scene
    }

    /// Writes what a poller would have observed: `state`, which has not changed for `unchanged`.
    async fn agent(&self, number: i64, state: AgentState, unchanged: Duration) {
        let rows = instance::Entity::find().all(&self.db.db).await.unwrap();
        let row = rows.iter().find(|row| i64::from(row.vmid.get()) == number).unwrap();
        let report = AgentReport::of(state);
        let now = self.clock.now();
        let facts = AgentFacts { observed_at: now, report: Some(report), ready: None };
        let history =
            AgentHistory { changed_at: Some(now.before(unchanged)), ..AgentHistory::after(None, Some(&facts), now) };
        let mut pipe = redis::pipe();
        pipe.set(format!("agent:{}", row.id), serde_json::to_string(&facts).unwrap()).ignore();
        pipe.set(format!("agent:{}:history", row.id), serde_json::to_string(&history).unwrap()).ignore();
        let () = pipe.query_async(&mut lists_at(self.url.clone()).connection()).await.unwrap();
    }

    fn process(&self, id: u64, games: &Arc<Games>) -> ProxyWatchTask {
        let freshness = Freshness::of_intervals(Duration::from_secs(3600), Duration::from_secs(3600));
        let watch = ProxyWatch {
            db: self.db.db.clone(),
            live: LiveState::new(lists_at(self.url.clone()).connection(), freshness.agent),
            freshness,
            proxy: None,
            ping: games.clone(),
            clock: self.clock.clone(),
            interval: INTERVAL,
            longest_ping_interval: LONGEST,
            id: PollerId(id),
        };
        watch.task()
    }

    /// How many servers were pinged at this moment.
    async fn recorded(&self) -> usize {
        let mut connection = lists_at(self.url.clone()).connection();
        let keys: Vec<String> = redis::cmd("KEYS").arg("ping:*").query_async(&mut connection).await.unwrap();
        let mut recorded = 0;
        for key in keys {
            let text: String = redis::cmd("GET").arg(key).query_async(&mut connection).await.unwrap();
            let history: PingHistory = serde_json::from_str(&text).unwrap();
            recorded += usize::from(history.asked_at == self.clock.now());
        }
        recorded
    }

    async fn claims(&self) -> usize {
        let mut connection = lists_at(self.url.clone()).connection();
        let keys: Vec<String> = redis::cmd("KEYS").arg("poll:ping:*").query_async(&mut connection).await.unwrap();
        keys.len()
    }

    /// A pass of each process one interval later; returns how many servers were pinged when the pings have ended.
    async fn pass(&self, processes: &mut [ProxyWatchTask]) -> usize {
        self.clock.advance(INTERVAL);
        let mut started = 0;
        for process in processes {
            started += process.pass(&CancellationToken::new()).await.unwrap().done;
        }
        let started = usize::try_from(started).unwrap();
        wait_for("the pings to end", async || self.recorded().await == started).await;
        // The claims of this pass expire before the next one.
        wait_for("the claims to expire", async || self.claims().await == 0).await;
        started
    }

    async fn record(&self, number: i64) -> ProxyRecord {
        let rows = instance::Entity::find().all(&self.db.db).await.unwrap();
        let row = rows.iter().find(|row| i64::from(row.vmid.get()) == number).unwrap();
        payload::read(row, PROXY_KEY).unwrap().unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_server_is_pinged_rarely_and_a_changed_one_in_every_pass() {
    let scene = Scene::of(3).await;
    let games = Arc::new(Games::default());
    let mut processes = [scene.process(1, &games)];
    assert_eq!(scene.pass(&mut processes).await, 3);
    for _ in 0..60 {
        scene.pass(&mut processes).await;
    }
    games.pinged();
    for _ in 0..2 * PASSES {
        scene.pass(&mut processes).await;
    }
    let pings: usize = games.pinged().values().sum();
    assert!((6..=9).contains(&pings), "{pings} pings of 3 servers in two of the longest intervals");

    // The agent of one reports something else: its next pings follow each other quickly.
    scene.agent(FIRST, AgentState::Running, Duration::ZERO).await;
    for _ in 0..3 {
        scene.pass(&mut processes).await;
    }
    assert!(games.pinged()[&name(FIRST)] >= 3);

    // The others answer no longer: noticed within the longest interval, and from then on they are pinged often.
    games.silent.store(true, Ordering::SeqCst);
    for _ in 0..PASSES {
        scene.pass(&mut processes).await;
    }
    wait_for("the missing answer to be stored", async || {
        scene.record(FIRST + 2).await.ping_state(scene.clock.now()) == PingState::Failed
    })
    .await;
    let mut pings = 0;
    for _ in 0..6 {
        pings += scene.pass(&mut processes).await;
    }
    assert!(pings >= 6, "{pings} pings of 3 servers in six passes");
    // One that is switched off is not pinged.
    scene.agent(FIRST, AgentState::Stopped, Duration::ZERO).await;
    games.pinged();
    for _ in 0..PASSES {
        scene.pass(&mut processes).await;
    }
    assert!(!games.names().contains(&name(FIRST)));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_pings_a_server_until_it_ends_and_then_another_does() {
    let scene = Scene::of(6).await;
    let games = [(); 3].map(|()| Arc::new(Games::default()));
    let mut processes: Vec<ProxyWatchTask> =
        games.iter().zip(1..).map(|(games, id)| scene.process(id, games)).collect();
    let rounds = async |processes: &mut [ProxyWatchTask], count: usize| {
        let mut pings = 0;
        for _ in 0..count {
            // Another process is the first in each pass.
            processes.rotate_left(1);
            pings += scene.pass(processes).await;
        }
        (pings, [0, 1, 2].map(|process: usize| games[process].names()))
    };
    let (pings, first) = rounds(&mut processes, 1).await;
    assert_eq!((pings, first.iter().map(BTreeSet::len).sum::<usize>()), (6, 6), "each is pinged once");
    let (_, pinged) = rounds(&mut processes, 60).await;
    assert_eq!(pinged, first, "each server stays with the process that pinged it first");

    // The process of the first server ends. Its servers go to the others within an interval more than the longest.
    let ended = first.iter().position(|names| !names.is_empty()).unwrap();
    drop(processes);
    let others = (0..3).filter(|process| *process != ended);
    let mut processes: Vec<ProxyWatchTask> =
        others.map(|process| scene.process(process as u64 + 1, &games[process])).collect();
    let (_, pinged) = rounds(&mut processes, PASSES + 2).await;
    assert_eq!(pinged.iter().flatten().collect::<BTreeSet<_>>().len(), 6, "{pinged:?}");
    assert!(pinged[ended].is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_every_process_pings_what_ran_and_stores_no_missing_answer_of_what_may_be_off() {
    let mut scene = Scene::of(2).await;
    scene.agent(FIRST, AgentState::Stopped, Duration::from_secs(3600)).await;
    let (games, later) = (Arc::new(Games::default()), Arc::new(Games::default()));
    let mut processes = [scene.process(1, &games)];
    assert_eq!(scene.pass(&mut processes).await, 1, "one runs");
    scene.redis = None;
    let pass = async |process: &mut ProxyWatchTask| {
        scene.clock.advance(INTERVAL);
        process.pass(&CancellationToken::new()).await.unwrap().done
    };
    // The one that ran is pinged, the one that was off is not.
    games.pinged();
    games.silent.store(true, Ordering::SeqCst);
    assert_eq!(pass(&mut processes[0]).await, 1);
    wait_for("the ping", async || !games.pinged.lock().unwrap().is_empty()).await;
    assert_eq!(games.names(), BTreeSet::from([name(FIRST + 1)]));
    let state = async |number| scene.record(number).await.ping_state(scene.clock.now());
    wait_for("the missing answer of what ran", async || state(FIRST + 1).await == PingState::Failed).await;

    // A process that starts without Redis does not know what runs: an answer is stored, a missing one is not.
    later.silent.store(true, Ordering::SeqCst);
    let mut started = scene.process(2, &later);
    assert_eq!(pass(&mut started).await, 2);
    let all = |pings: usize| later.pinged.lock().unwrap().values().sum::<usize>() >= pings;
    wait_for("the pings", async || all(2)).await;
    later.silent.store(false, Ordering::SeqCst);
    assert_eq!(pass(&mut started).await, 2);
    wait_for("the next pings", async || all(4)).await;
    wait_for("the answer", async || state(FIRST).await == PingState::Answered).await;
    assert_eq!(scene.record(FIRST).await.ping.unwrap().error, None);
}
