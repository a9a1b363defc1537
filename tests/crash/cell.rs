//! One fault at one point: a private company, real processes, the fault, a new owner, and all checks.

use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redis::AsyncCommands;
use serde_json::json;
use tempfile::TempDir;
use tokio::time::Instant;
use zpack::accounts::TokenSigner;
use zpack::config::DatabaseKind;
use zpack::db;
use zpack::db::entities::operation::{self, Actor, OperationState};
use zpack::jobs::{Queue, set_paused};
use zpack::kernel::{Clock, OperationId, Secret};
use zpack::operations::cancel;

use super::check::{self, Facts, Lists, Sampler, Violation, violation};
use super::fault::{Fault, Server};
use super::point::CrashPoint;
use super::process::WorkerProcess;
use crate::support::company::{Company, node, valheim};
use crate::support::proxy::{Proxy, Upstream};
use crate::support::{TestDb, free_port};

/// Two leases of [`Company::environment`].
const TWO_LEASES: Duration = Duration::from_secs(4);

/// How long a process may need to the point.
const REACH: Duration = Duration::from_secs(180);

const SECRET: &str = "a signing secret of more than 32 bytes";

/// A fault at a point.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    pub point: CrashPoint,
    pub fault: Fault,
    pub database: DatabaseKind,
    pub seed: u64,
}

/// A company with a breakable network in front of the process that gets the fault.
struct Scene {
    company: Company,
    redis: Proxy,
    database: Option<Proxy>,
    folder: TempDir,
    luck: StdRng,
}

impl Cell {
    /// `point:fault:database`.
    pub fn name(&self) -> String {
        let database = match self.database {
            DatabaseKind::Sqlite => "sqlite",
            DatabaseKind::Postgres => "postgres",
            DatabaseKind::MariaDb => "mariadb",
        };
        format!("{}:{}:{database}", self.point.name(), self.fault.name())
    }

    /// Runs it. Returns how the operation ended, or the violations with the last log lines of the processes.
    pub async fn run(self) -> Result<String, String> {
        let mut server = match self.fault {
            Fault::DatabaseRestart => Some(Server::alone(self.database).await),
            _ => None,
        };
        let mut server = server.as_mut().and_then(|server| server.as_mut());
        let db = match &server {
            Some(server) => server.database().await,
            None => TestDb::migrated(self.database).await,
        };
        let mut scene = Scene::set(db, self.luck()).await;
        let every = Duration::from_millis(50);
        let sampler = Sampler::start(scene.company.db.db.clone(), scene.company.lists.connection(), 1, every);
        let mut facts = Facts::default();
        let (row, mut broken) = self.play(&mut scene, &mut server, &mut facts).await;
        broken.extend(sampler.end().await);
        broken.extend(check::everything(&facts));
        let words = scene.last_words();
        let Company { db, world, .. } = scene.company;
        db.remove().await;
        world.shutdown().await.unwrap();
        let code = row.error_code.map(|code| format!(" ({code})")).unwrap_or_default();
        let end = format!("{}{code}", row.state);
        if broken.is_empty() {
            let words = std::env::var_os("CRASH_LOG").map(|_| format!("\n{words}")).unwrap_or_default();
            return Ok(format!("{end}{words}"));
        }
        let broken: Vec<_> = broken.iter().map(|violation| format!("  {violation}")).collect();
        Err(format!("the operation ended {end}\n{}\n{words}", broken.join("\n")))
    }

    fn luck(&self) -> StdRng {
        let name = self.name().bytes().fold(0u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)));
        StdRng::seed_from_u64(self.seed ^ name)
    }

    async fn play(
        &self,
        scene: &mut Scene,
        server: &mut Option<&mut Server>,
        facts: &mut Facts,
    ) -> (operation::Model, Vec<Violation>) {
        let cancelled = scene.cancelled().await;
        facts.begun.insert(cancelled);
        facts.cancelled.insert(cancelled);

        let (mut doomed, id) = self.reach(scene, facts).await;
        let row = scene.company.operation(id).await;
        let now = db::now(&scene.company.db.db).await.unwrap();
        let lists = Lists::read(&mut scene.company.lists.connection()).await.unwrap();
        let mut broken = check::acknowledged_after_commit(self.point, &row, &lists, now);

        let early = self.begin_fault(scene, server).await;
        if self.fault != Fault::Late {
            self.let_go(scene);
        }
        let new_owner = if early { Some(scene.new_owner()) } else { None };
        self.end_fault(scene, server, &doomed).await;
        let new_owner = new_owner.unwrap_or_else(|| scene.new_owner());
        facts.unknown.insert(scene.plant(id, cancelled).await);
        if self.point.is_of_the_api() {
            scene.ask_again(id).await;
        }
        let row = scene.company.settled(id).await;
        if self.fault == Fault::Late {
            scene.database().pass();
            self.let_go(scene);
        }

        if self.fault != Fault::Kill {
            if doomed.is_alive() {
                doomed.stop().await;
            } else {
                broken.push(violation("I1", "the process ended unexpectedly"));
            }
        }
        broken.extend(scene.probe(&row, facts).await);
        broken.extend(scene.tidy(facts).await);
        new_owner.stop().await;
        facts.read(&scene.company).await;
        (row, broken)
    }

    /// Brings a process to the point. Returns it with its operation.
    async fn reach(&self, scene: &Scene, facts: &mut Facts) -> (WorkerProcess, OperationId) {
        let company = &scene.company;
        let mut settings = scene.broken_network();
        let held = scene.folder.path().join("held");
        if let Some(place) = self.point.failpoint() {
            let action = match self.fault {
                Fault::Kill => "kill".to_owned(),
                Fault::Stop => "stop".to_owned(),
                _ => format!("wait:{}", held.display()),
            };
            settings.push(("ZPACK_FAILPOINT", format!("{place}={action}")));
        } else {
            scene.redis.catch_move();
        }
        let log = scene.log("doomed");
        let (mut doomed, mut id) = if self.point.is_of_the_api() {
            let port = free_port();
            let doomed = WorkerProcess::start_role(company, &["serve"], scene.api(port, settings), Some(&log));
            scene.healthy(port).await;
            scene.ask(port);
            (doomed, None)
        } else {
            let id = self.begin(company).await;
            if let Some(place) = self.point.victim() {
                WorkerProcess::start(company, Some(place)).killed().await;
            }
            (WorkerProcess::start_role(company, &["worker", "provision"], settings, Some(&log)), Some(id))
        };
        match (self.point.failpoint(), self.fault) {
            (Some(_), fault) => {
                let mut reached = || match fault {
                    Fault::Kill => !doomed.is_alive(),
                    Fault::Stop => doomed.has_stopped(),
                    _ => held.exists(),
                };
                while !self.reached_by(scene, id, &mut reached).await {
                    facts.begun.extend(id);
                    id = Some(self.begin(company).await);
                }
                if fault == Fault::Kill {
                    doomed.killed().await;
                }
            }
            (None, fault) => {
                scene.wait("the answer on the wire", || scene.redis.has_caught()).await;
                match fault {
                    Fault::Kill => {
                        doomed.signal(Signal::SIGKILL);
                        doomed.killed().await;
                    }
                    Fault::Stop => doomed.signal(Signal::SIGSTOP),
                    _ => {}
                }
            }
        }
        let id = match id {
            Some(id) => id,
            None => scene.asked_for(facts).await,
        };
        facts.begun.insert(id);
        (doomed, id)
    }

    /// An operation of its own, and offered where a sweeper need not find it.
    async fn begin(&self, company: &Company) -> OperationId {
        let id = company.begin_new(company.order(valheim()).keyed(false)).await.operation.id;
        if self.point != CrashPoint::MidSweep {
            company.lists.offer_new(Queue::Provision, id).await.unwrap();
        }
        id
    }

    /// Waits for the point. Returns false when the operation has failed before: on a busy machine its short lease may expire.
    async fn reached_by(&self, scene: &Scene, id: Option<OperationId>, reached: &mut impl FnMut() -> bool) -> bool {
        let began = Instant::now();
        loop {
            if reached() {
                return true;
            }
            // An operation whose first worker was killed ends as stale on its way to the point.
            if let Some(id) = id.filter(|_| self.point.victim().is_none()) {
                let row = scene.company.operation(id).await;
                // An operation that has succeeded reaches the points after its end.
                if row.state.is_ended() && row.state != OperationState::Succeeded {
                    return reached();
                }
            }
            assert!(began.elapsed() < REACH, "the crash point is not reached\n{}", scene.last_words());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The first half of the fault. Returns whether the new owner has to start before the second half.
    async fn begin_fault(&self, scene: &mut Scene, server: &mut Option<&mut Server>) -> bool {
        let early = scene.luck.random_bool(0.5);
        match self.fault {
            Fault::Kill | Fault::Stop => {}
            Fault::RedisKill => tokio::task::block_in_place(|| scene.company.redis.kill()),
            Fault::Flush => {
                let flushed: Result<(), _> =
                    redis::cmd("FLUSHALL").query_async(&mut scene.company.lists.connection()).await;
                flushed.unwrap();
            }
            Fault::RedisReset => scene.redis.reset(),
            Fault::RedisBlackhole => scene.redis.blackhole(),
            Fault::DatabaseReset => scene.database().reset(),
            Fault::DatabaseBlackhole | Fault::Late => scene.database().blackhole(),
            Fault::DatabaseRestart => {
                server.as_mut().unwrap().kill();
                // No process can start without a database.
                return false;
            }
        }
        early
    }

    /// Lets a held process continue, into the fault.
    fn let_go(&self, scene: &Scene) {
        if !matches!(self.fault, Fault::Kill | Fault::Stop) {
            let _ = std::fs::remove_file(scene.folder.path().join("held"));
            scene.redis.release();
        }
    }

    async fn end_fault(&self, scene: &mut Scene, server: &mut Option<&mut Server>, doomed: &WorkerProcess) {
        let outage = Duration::from_millis(scene.luck.random_range(0..1000));
        match self.fault {
            Fault::Kill | Fault::Flush | Fault::RedisReset | Fault::DatabaseReset | Fault::Late => {}
            Fault::Stop => {
                tokio::time::sleep(TWO_LEASES).await;
                doomed.signal(Signal::SIGCONT);
                scene.redis.release();
            }
            Fault::RedisKill => {
                tokio::time::sleep(outage).await;
                tokio::task::block_in_place(|| scene.company.redis.run());
            }
            Fault::RedisBlackhole => {
                tokio::time::sleep(TWO_LEASES).await;
                scene.redis.pass();
            }
            Fault::DatabaseBlackhole => {
                tokio::time::sleep(TWO_LEASES).await;
                scene.database().pass();
            }
            Fault::DatabaseRestart => {
                tokio::time::sleep(outage).await;
                server.as_mut().unwrap().run();
            }
        }
    }
}

impl Scene {
    async fn set(db: TestDb, luck: StdRng) -> Self {
        let database = match db.socket.clone() {
            Some(socket) => Some(Proxy::start(Upstream::Socket(socket)).await),
            None => None,
        };
        let company = Company::start_over(db, 0.01).await;
        let redis = Proxy::start(Upstream::Port(company.redis.port())).await;
        Self { company, redis, database, folder: tempfile::tempdir().unwrap(), luck }
    }

    fn database(&self) -> &Proxy {
        self.database.as_ref().expect("a file has no network")
    }

    fn broken_network(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![("REDIS_URL", format!("redis://127.0.0.1:{}/0", self.redis.port()))];
        settings.extend(self.database.as_ref().map(|proxy| ("DATABASE_URL", self.company.db.url_at(proxy.port()))));
        settings
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    fn last_words(&self) -> String {
        let read = |name: &str| {
            let text = std::fs::read_to_string(self.log(name)).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            let first = if std::env::var_os("CRASH_LOG").is_some() { 0 } else { lines.len().saturating_sub(25) };
            format!("--- {name}\n{}", lines[first..].join("\n"))
        };
        format!("{}\n{}", read("doomed"), read("new-owner"))
    }

    async fn wait(&self, what: &str, fact: impl Fn() -> bool) {
        self.company.wait(what, || std::future::ready(fact().then_some(()))).await;
    }

    fn new_owner(&self) -> WorkerProcess {
        WorkerProcess::start_role(&self.company, &["worker", "provision"], [], Some(&self.log("new-owner")))
    }

    /// An operation that was cancelled while it waited.
    async fn cancelled(&self) -> OperationId {
        let id = self.company.begin_silently(node()).await;
        let tx = db::begin(&self.company.db.db).await.unwrap();
        cancel(&tx, id, Actor::Customer, Clock::System.now()).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    /// Puts harmful entries on the ready list, and accepts an operation of a later release. Returns its id.
    async fn plant(&self, id: OperationId, cancelled: OperationId) -> OperationId {
        let unknown = self.company.begin_new(self.company.order_of_a_later_release(node())).await.operation.id;
        let weeds =
            [id.to_string(), cancelled.to_string(), OperationId::generate().to_string(), "\u{7}no id".to_owned()];
        let mut connection = self.company.lists.connection();
        for weed in weeds.into_iter().chain([unknown.to_string(), id.to_string(), String::new()]) {
            self.company
                .wait("Redis to answer", || {
                    let (mut connection, weed) = (connection.clone(), weed.clone());
                    async move { connection.lpush(Queue::Provision.ready_key(), weed).await.ok().map(|(): ()| ()) }
                })
                .await;
        }
        let _: Result<(), _> = connection.rpush(Queue::Provision.ready_key(), vec![0xffu8; 64]).await;
        unknown
    }

    /// With the new owner alone: a paused queue starts nothing (I12), the key of the ended operation is free and used
    /// by the next (I9), and two operations that are due together start in their order (I15).
    async fn probe(&self, row: &operation::Model, facts: &mut Facts) -> Vec<Violation> {
        let (company, mut broken) = (&self.company, Vec::new());
        let db = &company.db.db;
        set_paused(db, Queue::Provision, true, Clock::System.now()).await.unwrap();
        let keyed = || company.order(node()).keyed(false);
        let first = company.begin_new(keyed()).await;
        if !first.fresh || first.operation.id == row.id {
            broken.push(violation("I9", format!("{} has ended and keeps its key", row.id)));
        }
        let again = company.begin_new(keyed()).await;
        if again.fresh {
            broken.push(violation("I9", format!("{} took the key of {}", again.operation.id, first.operation.id)));
        }
        let (first, second) = (first.operation.id, company.begin_silently(node()).await);
        for id in [first, second] {
            let _ = company.lists.offer_new(Queue::Provision, id).await;
        }
        company
            .wait("the paused ids to be dropped", || async {
                let lists = Lists::read(&mut company.lists.connection()).await.ok()?;
                (!lists.hold(&first.to_string()) && !lists.hold(&second.to_string())).then_some(())
            })
            .await;
        for id in [first, second] {
            let row = company.operation(id).await;
            if row.starts != 0 || row.fence != 0 {
                broken.push(violation("I12", format!("{id} started while the queue was paused")));
            }
        }
        set_paused(db, Queue::Provision, false, Clock::System.now()).await.unwrap();
        facts.in_order = vec![first, second];
        facts.begun.extend([first, second]);
        for id in [first, second] {
            company.settled(id).await;
        }
        broken
    }

    /// Waits until only the new owner is registered, and every received id is being handled (I11).
    async fn tidy(&self, facts: &Facts) -> Vec<Violation> {
        let unknown: Vec<_> = facts.unknown.iter().map(ToString::to_string).collect();
        self.company
            .wait("the lists to be empty and the dead to be forgotten", || async {
                let lists = Lists::read(&mut self.company.lists.connection()).await.ok()?;
                let mut entries = lists.ready.iter().chain(lists.processing.values().flatten());
                let empty = entries.all(|entry| unknown.contains(entry));
                (empty && lists.workers.len() == 1).then_some(())
            })
            .await;
        Vec::new()
    }

    fn api(&self, port: u16, settings: Vec<(&'static str, String)>) -> Vec<(&'static str, String)> {
        let fixed = [("PORT", port.to_string()), ("BIND_ADDRESS", "127.0.0.1".to_owned())];
        settings.into_iter().chain(fixed).chain([("API_AUTH_SECRET", SECRET.to_owned())]).collect()
    }

    async fn healthy(&self, port: u16) {
        let url = format!("http://127.0.0.1:{port}/healthz");
        self.company
            .wait("the API to listen", || async { reqwest::get(&url).await.ok().filter(|a| a.status().is_success()) })
            .await;
    }

    /// A customer's request, with a key.
    fn request(&self, port: u16) -> reqwest::RequestBuilder {
        let signer = TokenSigner::new(&Secret::new(SECRET), Duration::from_secs(3600)).unwrap();
        let token = signer.issue(self.company.owner, 0, Clock::System.now()).unwrap();
        reqwest::Client::new()
            .post(format!("http://127.0.0.1:{port}/api/instances"))
            .timeout(Duration::from_secs(5))
            .bearer_auth(token)
            .header("Idempotency-Key", "once")
            .json(&json!({ "ctype": "dev", "runtime": "node", "version": "22" }))
    }

    /// Sends it without waiting for the answer.
    fn ask(&self, port: u16) {
        tokio::spawn(self.request(port).send());
    }

    /// The customer repeats the request elsewhere, and gets the operation that was accepted before.
    async fn ask_again(&self, id: OperationId) {
        let port = free_port();
        let settings = self.api(port, Vec::new());
        let api = WorkerProcess::start_role(&self.company, &["serve"], settings, Some(&self.log("new-owner")));
        self.healthy(port).await;
        let answer = self
            .company
            .wait("the API to answer", || async {
                let answer = self.request(port).send().await.ok()?;
                if answer.status() == 202 { answer.text().await.ok() } else { None }
            })
            .await;
        assert!(answer.contains(&id.to_string()), "I9 is broken: the same key began something else: {answer}");
        api.stop().await;
    }

    /// The operation that the API has written.
    async fn asked_for(&self, facts: &Facts) -> OperationId {
        use sea_orm::EntityTrait;
        self.company
            .wait("the row", || async {
                let rows = operation::Entity::find().all(&self.company.db.db).await.unwrap();
                rows.into_iter().map(|row| row.id).find(|id| !facts.begun.contains(id))
            })
            .await
    }
}
