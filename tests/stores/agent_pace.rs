//! How many requests the poller sends, and when: counted, not timed.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sea_orm::EntityTrait;
use tokio_util::sync::CancellationToken;
use zpack::adapters::agent::{AgentSettings, Agents};
use zpack::background::Task;
use zpack::config::DatabaseKind;
use zpack::db::entities::{instance, operation};
use zpack::jobs::Queue;
use zpack::kernel::{Clock, Reach, Timestamp};
use zpack::observe::facts::{AgentHistory, Live, PollerId};
use zpack::observe::live::LiveState;
use zpack::observe::poller::{AgentPoll, Poller, PollerSettings};
use zpack::ports::{Agent, AgentAssignment, AgentError, AgentReport, AgentState, WorkloadAction};
use zpack::servers::store;
use zpack::telemetry::Metrics;

use crate::contracts::proxmox_kit;
use crate::contracts::scripted::Scripted;
use crate::support::rows::{self, AnyOwner};
use crate::support::servers::server;
use crate::support::{PrivateRedis, TestDb, lists_at};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// From one pass to the next.
const INTERVAL: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_millis(400);

/// Agents of servers that run and are ready, or not, as the test says.
#[derive(Default)]
struct Counting {
    reports: AtomicUsize,
    readiness: AtomicUsize,
    crashed: std::sync::atomic::AtomicBool,
    /// Which agents were asked.
    asked: Mutex<BTreeSet<IpAddr>>,
}

impl Counting {
    fn requests(&self) -> usize {
        self.reports.load(Ordering::SeqCst) + self.readiness.load(Ordering::SeqCst)
    }

    /// Which agents were asked since this was called last.
    fn asked(&self) -> BTreeSet<IpAddr> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

#[async_trait]
impl Agent for Counting {
    async fn health(&self, _: IpAddr) -> Result<(), AgentError> {
        unreachable!("the poller asks for the status")
    }

    async fn ready(&self, at: IpAddr) -> Result<bool, AgentError> {
        self.asked.lock().unwrap().insert(at);
        self.readiness.fetch_add(1, Ordering::SeqCst);
        Ok(!self.crashed.load(Ordering::SeqCst))
    }

    async fn status(&self, at: IpAddr) -> Result<AgentReport, AgentError> {
        self.asked.lock().unwrap().insert(at);
        self.reports.fetch_add(1, Ordering::SeqCst);
        let crashed = self.crashed.load(Ordering::SeqCst);
        Ok(AgentReport {
            crash_count: u32::from(crashed),
            ..AgentReport::of(if crashed { AgentState::Crashed } else { AgentState::Running })
        })
    }

    async fn configure(&self, _: IpAddr, _: &AgentAssignment) -> Result<(), AgentError> {
        unreachable!("the poller changes nothing")
    }

    async fn power(&self, _: IpAddr, _: WorkloadAction) -> Result<(), AgentError> {
        unreachable!("the poller changes nothing")
    }
}

struct Scene {
    db: TestDb,
    live: LiveState,
    agent: Arc<Counting>,
    clock: Clock,
    redis: PrivateRedis,
}

impl Scene {
    async fn of(servers: i64) -> Self {
        let (db, redis) = (TestDb::migrated(DatabaseKind::Sqlite).await, PrivateRedis::start());
        for number in 5000..5000 + servers {
            let row = instance::Model { address: format!("127.0.1.{}", number - 5000), ..server(number, NOW) };
            store::insert(&AnyOwner(&db.db), row).await.unwrap();
        }
        let live = LiveState::new(lists_at(redis.url()).connection(), Duration::from_secs(600));
        Self { db, live, agent: Arc::default(), clock: Clock::fixed(NOW), redis }
    }

    fn poll(&self) -> AgentPoll {
        self.poll_with(self.agent.clone(), PollerId(1))
    }

    fn poll_with(&self, agent: Arc<dyn Agent>, id: PollerId) -> AgentPoll {
        let poller = Poller {
            db: self.db.db.clone(),
            live: LiveState::new(lists_at(self.redis.url()).connection(), Duration::from_secs(600)),
            agent,
            hypervisor: Arc::new(proxmox_kit::client("http://127.0.0.1:9/".parse().unwrap())),
            clock: self.clock.clone(),
            settings: PollerSettings {
                interval: INTERVAL,
                longest_interval: LONGEST,
                timeout: Duration::from_secs(10),
                concurrency: 8,
                host_interval: Duration::from_secs(600),
            },
            metrics: Metrics::default(),
            id,
        };
        poller.tasks().0
    }

    async fn histories(&self) -> Vec<AgentHistory> {
        let rows = instance::Entity::find().all(&self.db.db).await.unwrap();
        let live = self.live.read(&rows.iter().collect::<Vec<_>>()).await;
        let history = |live| if let Live::Facts(facts) = live { facts.history } else { None };
        live.into_iter().filter_map(history).collect()
    }

    /// The polls of all servers so far.
    async fn polls(&self) -> u32 {
        self.histories().await.iter().map(|history| history.polls).sum()
    }

    /// A pass of each of `processes` one interval later; returns when the polls that it started have ended.
    async fn pass(&self, processes: &mut [AgentPoll]) -> u64 {
        self.clock.advance(INTERVAL);
        let before = self.polls().await;
        let mut started = 0;
        for process in processes {
            started += process.pass(&CancellationToken::new()).await.unwrap().done;
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        while u64::from(self.polls().await - before) < started {
            assert!(Instant::now() < deadline, "polls do not end");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // The claims of this pass expire before the next one.
        let claimed = || async {
            let mut connection = lists_at(self.redis.url()).connection();
            let keys: Vec<String> = redis::cmd("KEYS").arg("poll:*").query_async(&mut connection).await.unwrap();
            !keys.is_empty()
        };
        while claimed().await {
            assert!(Instant::now() < deadline, "claims do not expire");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        started
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_server_is_asked_rarely_with_one_request_each_time() {
    let scene = Scene::of(3).await;
    let mut processes = [scene.poll()];
    // The first poll asks for report and readiness.
    assert_eq!(scene.pass(&mut processes).await, 3);
    assert_eq!(scene.agent.requests(), 6);
    for _ in 0..60 {
        scene.pass(&mut processes).await;
    }
    let (polls, requests) = (scene.polls().await, scene.agent.requests());
    assert_eq!(requests, polls as usize + 3, "one request for each poll but the first");
    assert!(scene.agent.readiness.load(Ordering::SeqCst) > 3 && scene.agent.reports.load(Ordering::SeqCst) > 3);
    for _ in 0..16 {
        scene.pass(&mut processes).await;
    }
    let later = scene.polls().await - polls;
    assert!((6..=9).contains(&later), "{later} polls of 3 servers in two of the longest intervals");
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_of_an_unchanged_server_are_one_request_each_on_one_connection() {
    let (peer, scene) = (Scripted::always("200 OK", r#"{"state":"running"}"#).await, Scene::of(0).await);
    let row = instance::Model { address: peer.address.ip().to_string(), ..server(5000, NOW) };
    store::insert(&AnyOwner(&scene.db.db), row).await.unwrap();
    let settings = AgentSettings {
        port: peer.address.port(),
        token: None,
        timeout: Duration::from_secs(10),
        cool_down: AgentSettings::COOL_DOWN,
        reach: Reach::Loopback,
    };
    let agents = Agents::new(settings, Clock::System).unwrap().keeping(Duration::from_secs(600));
    let mut processes = [scene.poll_with(Arc::new(agents), PollerId(1))];
    for _ in 0..60 {
        scene.pass(&mut processes).await;
    }
    let seen = peer.seen();
    assert!(seen.len() > 10);
    assert_eq!(seen.len(), scene.polls().await as usize + 1, "the first poll asks for report and readiness");
    assert!(seen.iter().all(|seen| seen.connection == 0), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_an_operation_is_asked_in_every_pass_and_so_is_one_that_has_changed() {
    let scene = Scene::of(2).await;
    let mut processes = [scene.poll()];
    for _ in 0..60 {
        scene.pass(&mut processes).await;
    }
    let row = operation::Model {
        vmid: Some(zpack::kernel::VmId::new(5000).unwrap()),
        ..rows::queued(Queue::Host, "power", NOW)
    };
    rows::store(&scene.db.db, &[row]).await;
    let mut polled = 0;
    for _ in 0..4 {
        polled += scene.pass(&mut processes).await;
    }
    assert!((4..=5).contains(&polled), "{polled}");

    // The other one crashes: seen within the longest interval, and from then on it is asked often.
    scene.agent.crashed.store(true, Ordering::SeqCst);
    for _ in 0..9 {
        scene.pass(&mut processes).await;
    }
    assert!(scene.histories().await.iter().all(|history| history.crashes.total == 1));
    assert_eq!(scene.pass(&mut processes).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_processes_ask_no_more_often() {
    let scene = Scene::of(4).await;
    let mut processes = [1, 2, 3].map(|id| scene.poll_with(scene.agent.clone(), PollerId(id)));
    assert_eq!(scene.pass(&mut processes).await, 4);
    assert_eq!(scene.agent.requests(), 8);
    for _ in 0..60 {
        scene.pass(&mut processes).await;
    }
    let polls = scene.polls().await;
    for _ in 0..16 {
        scene.pass(&mut processes).await;
    }
    let later = scene.polls().await - polls;
    assert!((8..=12).contains(&later), "{later} polls of 4 servers in two of the longest intervals");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_polls_a_server_until_it_ends_and_then_another_does() {
    let scene = Scene::of(6).await;
    let agents = [(); 3].map(|()| Arc::new(Counting::default()));
    let mut processes: Vec<AgentPoll> =
        agents.iter().zip(1..).map(|(agent, id)| scene.poll_with(agent.clone(), PollerId(id))).collect();
    let rounds = async |processes: &mut [AgentPoll], count: usize| {
        for _ in 0..count {
            // Another process is the first in each pass.
            processes.rotate_left(1);
            scene.pass(processes).await;
        }
        [0, 1, 2].map(|process: usize| agents[process].asked())
    };
    let first = rounds(&mut processes, 1).await;
    assert_eq!(first.iter().map(BTreeSet::len).sum::<usize>(), 6);
    let asked = rounds(&mut processes, 60).await;
    assert_eq!(asked, first, "each server stays with the process that polled it first");

    // The process of the first server ends. Its servers go to the others within an interval more than the longest.
    let ended = first.iter().position(|asked| !asked.is_empty()).unwrap();
    drop(processes);
    let others = (0..3).filter(|process| *process != ended);
    let mut processes: Vec<AgentPoll> =
        others.map(|process| scene.poll_with(agents[process].clone(), PollerId(process as u64 + 1))).collect();
    let longest = (LONGEST.as_millis() / INTERVAL.as_millis()) as usize;
    let asked = rounds(&mut processes, longest + 2).await;
    assert_eq!(asked.iter().flatten().collect::<BTreeSet<_>>().len(), 6, "{asked:?}");
    assert!(asked[ended].is_empty());
}
