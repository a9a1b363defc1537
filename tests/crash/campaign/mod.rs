//! Minutes of random faults: four workers and a thousand operations, none of which may be lost or run twice. `make
//! crash-campaign`; see docs/testing.md.

mod customers;
mod report;
mod schedule;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use sea_orm::{EntityTrait, QuerySelect};
use tempfile::TempDir;
use tokio::time::Instant;
use zpack::config::DatabaseKind;
use zpack::db;
use zpack::db::entities::operation::{self, Actor, OperationState, UndoState};
use zpack::jobs::Queue;
use zpack::kernel::{Clock, OperationId};
use zpack::operations::{CancelOutcome, cancel};
use zpack::provision::ServerRequest;

use self::customers::{Customers, Write};
use self::report::Report;
use self::schedule::{Plan, What};
use super::check::{self, Facts, Lists, Sampler, Violation, violation};
use super::matrix::{asked_for, seed};
use super::process::WorkerProcess;
use crate::support::TestDb;
use crate::support::company::{Company, node, paper, valheim};
use crate::support::proxy::{Proxy, Upstream};

/// Operations that run at a time, in all workers together.
const SLOTS: usize = 4;

/// If no operation ends for this long, something is lost.
const STANDSTILL: Duration = Duration::from_secs(300);

/// The last log line of a worker that could not start without its database; only then may a worker have ended.
const NO_DATABASE: [&str; 3] =
    ["the database is needed to go on", "cannot read which migrations were run", "cannot connect to the database"];

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_loses_and_duplicates_nothing() {
    if !asked_for("campaign") {
        return;
    }
    let plan = plan();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("campaign-{}-{}.json", plan.database, plan.seed));
    std::fs::write(&file, serde_json::to_vec(&plan).unwrap()).unwrap();
    println!(
        "{} workers, {} operations, {} s, {} events on {}; CRASH_SEED={}\nthe plan, for CRASH_TRACE: {}",
        plan.workers,
        plan.operations,
        plan.seconds,
        plan.events.len(),
        plan.database,
        plan.seed,
        file.display()
    );
    let broken = Campaign::start(&plan).await.run(&plan).await;
    let broken: Vec<_> = broken.iter().map(|violation| format!("  {violation}")).collect();
    assert!(broken.is_empty(), "violations; play it again with CRASH_TRACE={}\n{}", file.display(), broken.join("\n"));
    std::fs::remove_file(&file).unwrap();
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// The plan of `CRASH_TRACE`, or a new one.
fn plan() -> Plan {
    if let Some(file) = setting("CRASH_TRACE") {
        return serde_json::from_slice(&std::fs::read(file).unwrap()).expect("a plan");
    }
    let number = |name: &str, or: u64| setting(name).map_or(or, |text| text.parse().expect("a number"));
    let database = setting("CRASH_DATABASE").unwrap_or_else(|| "postgres".to_owned());
    let operations = usize::try_from(number("CRASH_OPERATIONS", 1000)).unwrap();
    assert!(operations <= 1900, "there are two thousand numbers for containers");
    let network = kind(&database) != DatabaseKind::Sqlite;
    Plan::new(seed(), &database, number("CRASH_TIME", 600), 4, operations, network)
}

fn kind(database: &str) -> DatabaseKind {
    match database {
        "sqlite" => DatabaseKind::Sqlite,
        "postgres" => DatabaseKind::Postgres,
        "mariadb" => DatabaseKind::MariaDb,
        other => panic!("there is no database `{other}`"),
    }
}

/// A worker behind its own network.
struct Place {
    redis: Proxy,
    database: Option<Proxy>,
    log: PathBuf,
    worker: WorkerProcess,
}

struct Campaign {
    company: Company,
    places: Vec<Place>,
    /// Workers that were asked to stop.
    draining: Vec<WorkerProcess>,
    customers: Customers,
    sampler: Sampler,
    facts: Facts,
    /// Violations that were seen while an event happened.
    broken: Vec<Violation>,
    /// In the order in which they were accepted.
    begun: Vec<OperationId>,
    counts: BTreeMap<&'static str, usize>,
    redis_is_down: bool,
    began: Instant,
    _folder: TempDir,
}

impl Campaign {
    async fn start(plan: &Plan) -> Self {
        let company = Company::start_over(TestDb::migrated(kind(&plan.database)).await, 0.005).await;
        let folder = tempfile::tempdir().unwrap();
        let mut places = Vec::new();
        for number in 0..plan.workers {
            let database = match company.db.socket.clone() {
                Some(socket) => Some(Proxy::start(Upstream::Socket(socket)).await),
                None => None,
            };
            let redis = Proxy::start(Upstream::Port(company.redis.port())).await;
            let log = folder.path().join(format!("worker-{number}.log"));
            let worker = spawn(&company, &redis, database.as_ref(), &log);
            places.push(Place { redis, database, log, worker });
        }
        let customers = Customers::start(&company).await;
        let every = Duration::from_millis(250);
        let sampler = Sampler::start(company.db.another_pool().await, company.lists.connection(), SLOTS, every);
        Self {
            company,
            places,
            draining: Vec::new(),
            customers,
            sampler,
            facts: Facts::default(),
            broken: Vec::new(),
            begun: Vec::new(),
            counts: BTreeMap::new(),
            redis_is_down: false,
            began: Instant::now(),
            _folder: folder,
        }
    }

    /// Plays the plan, waits until all operations have ended, and returns the violations.
    async fn run(mut self, plan: &Plan) -> Vec<Violation> {
        let mut told = Instant::now();
        for event in &plan.events {
            tokio::time::sleep_until(self.began + Duration::from_millis(event.at)).await;
            self.happen(event.what).await;
            if told.elapsed() > Duration::from_secs(5) {
                told = Instant::now();
                let broken = self.look().await;
                if !broken.is_empty() {
                    return self.give_up(broken);
                }
            }
        }
        self.end_faults();
        let broken = self.settle().await;
        if !broken.is_empty() {
            return self.give_up(broken);
        }
        self.judge(plan).await
    }

    async fn happen(&mut self, what: What) {
        *self.counts.entry(name(what)).or_default() += 1;
        match what {
            What::Begin | What::BeginSilently => {
                let request = [node, paper, valheim][self.begun.len() % 3]();
                // Small enough for the simulated nodes to hold a thousand.
                let request = ServerRequest { memory_mib: 128, ..request };
                let Ok(begun) = self.company.try_begin(self.company.order(request)).await else {
                    // A worker that was stopped during a transaction blocks the one writer of SQLite.
                    *self.counts.entry("operations refused by a busy database").or_default() += 1;
                    return;
                };
                let id = begun.operation.id;
                if what == What::Begin && !self.redis_is_down {
                    let _ = self.company.lists.offer_new(Queue::Provision, id).await;
                }
                self.begun.push(id);
                self.facts.begun.insert(id);
            }
            What::Cancel(number) => self.cancel(number).await,
            What::Kill(place) => {
                self.places[place].worker.signal(Signal::SIGKILL);
                drop(self.respawn(place));
            }
            What::Drain(place) => {
                self.places[place].worker.signal(Signal::SIGTERM);
                self.facts.drained = true;
                let drained = self.respawn(place);
                self.draining.push(drained);
            }
            What::Stop(place) => self.places[place].worker.signal(Signal::SIGSTOP),
            What::Continue(place) => self.places[place].worker.signal(Signal::SIGCONT),
            What::RedisDown => {
                tokio::task::block_in_place(|| self.company.redis.kill());
                self.redis_is_down = true;
            }
            What::RedisUp => self.redis_up(),
            What::Flush => {
                let flushed: Result<(), _> =
                    redis::cmd("FLUSHALL").query_async(&mut self.company.lists.connection()).await;
                if flushed.is_err() {
                    *self.counts.entry("flushes that failed").or_default() += 1;
                }
            }
            What::RedisReset(place) => self.places[place].redis.reset(),
            What::RedisStill(place) => self.places[place].redis.blackhole(),
            What::RedisPass(place) => self.places[place].redis.pass(),
            What::DatabaseReset(place) => self.places[place].database.iter().for_each(Proxy::reset),
            What::DatabaseStill(place) => self.places[place].database.iter().for_each(Proxy::blackhole),
            What::DatabasePass(place) => self.places[place].database.iter().for_each(Proxy::pass),
            What::HangUp(share) => {
                let write = self.customers.hang_up(share).await;
                self.count_write(write);
            }
        }
    }

    fn count_write(&mut self, write: Option<Write>) {
        let what = match write {
            Some(Write::Kept) => "writes beside hang-ups that were acknowledged",
            Some(Write::Refused) => "writes beside hang-ups that were refused",
            Some(Write::Lost(violation)) => {
                self.broken.push(violation);
                "writes beside hang-ups that were lost"
            }
            None => return,
        };
        *self.counts.entry(what).or_default() += 1;
    }

    async fn cancel(&mut self, number: usize) {
        let Some(&id) = self.begun.get(number) else { return };
        let Ok(tx) = db::begin(&self.company.db.db).await else { return };
        let outcome = cancel(&tx, id, Actor::Customer, Clock::System.now()).await;
        let row = operation::Entity::find_by_id(id).one(&tx).await;
        // The cancellation may lose against a worker that ends the operation at the same moment.
        let (Ok(outcome), Ok(Some(row)), Ok(())) = (outcome, row, tx.commit().await) else { return };
        if outcome == CancelOutcome::Cancelled && row.started_at.is_none() {
            self.facts.cancelled.insert(id);
        }
    }

    /// Starts another worker in this place, and returns the one that was there.
    fn respawn(&mut self, place: usize) -> WorkerProcess {
        let place = &mut self.places[place];
        let next = spawn(&self.company, &place.redis, place.database.as_ref(), &place.log);
        std::mem::replace(&mut place.worker, next)
    }

    fn redis_up(&mut self) {
        if std::mem::take(&mut self.redis_is_down) {
            tokio::task::block_in_place(|| self.company.redis.run());
        }
    }

    /// Ends every fault.
    fn end_faults(&mut self) {
        self.redis_up();
        for place in &self.places {
            place.worker.signal(Signal::SIGCONT);
            place.redis.pass();
            place.database.iter().for_each(Proxy::pass);
        }
        // One that was suspended when it was asked to stop drains now.
        for worker in &self.draining {
            worker.signal(Signal::SIGCONT);
        }
    }

    /// Prints the progress; returns the violations so far.
    async fn look(&mut self) -> Vec<Violation> {
        let (snapshots, mut broken) = self.sampler.so_far();
        broken.append(&mut self.broken);
        for number in 0..self.places.len() {
            let place = &mut self.places[number];
            if place.worker.is_alive() {
                continue;
            }
            let log = std::fs::read_to_string(&place.log).unwrap_or_default();
            if !log.lines().rev().take(5).any(|line| NO_DATABASE.iter().any(|words| line.contains(words))) {
                broken.push(violation("I1", format!("worker {number} ended unexpectedly")));
            }
            *self.counts.entry("workers that did not come up").or_default() += 1;
            drop(self.respawn(number));
        }
        self.draining.retain_mut(WorkerProcess::is_alive);
        self.facts.read_rows(&self.company).await;
        broken.extend(check::i7_effects_are_single(&self.facts));
        broken.extend(self.make_room().await);
        let ends = self.ends().await;
        let kills = self.counts.get("kills").copied().unwrap_or_default();
        println!("{:5.0} s  {kills} kills  {ends:?}  {snapshots} snapshots", self.began.elapsed().as_secs_f64());
        broken
    }

    /// The simulated network has room for 253 containers: those of finished operations are checked and removed.
    async fn make_room(&mut self) -> Vec<Violation> {
        let mut broken = Vec::new();
        let facts = &mut self.facts;
        let finished = facts.operations.values().filter(|row| row.state == OperationState::Succeeded);
        let finished: Vec<_> = finished.filter(|row| !facts.removed.contains(&row.id)).cloned().collect();
        for row in finished {
            broken.extend(check::i7_effects_of(facts, &row));
            for container in facts.containers.iter().filter(|container| container.is_of(row.id)) {
                self.company.remove_container(container.vmid).await;
            }
            facts.removed.insert(row.id);
        }
        broken
    }

    async fn ends(&self) -> BTreeMap<String, i64> {
        let query = operation::Entity::find().select_only().column(operation::Column::State);
        let counted = query.column_as(sea_orm::prelude::Expr::cust("COUNT(*)"), "n").group_by(operation::Column::State);
        let counts: Vec<(OperationState, i64)> = counted.into_tuple().all(&self.company.db.db).await.unwrap();
        counts.into_iter().map(|(state, count)| (state.to_string(), count)).collect()
    }

    async fn unsettled(&self) -> BTreeSet<OperationId> {
        let rows = operation::Entity::find().all(&self.company.db.db).await.unwrap();
        let waits =
            |row: &operation::Model| !row.state.is_ended() || matches!(row.unwind, UndoState::Due | UndoState::Running);
        rows.iter().filter(|row| waits(row)).map(|row| row.id).collect()
    }

    /// Waits until every operation has ended.
    async fn settle(&mut self) -> Vec<Violation> {
        let (mut left, mut moved) = (usize::MAX, Instant::now());
        loop {
            let waiting = self.unsettled().await;
            if waiting.is_empty() {
                return Vec::new();
            }
            if waiting.len() < left {
                (left, moved) = (waiting.len(), Instant::now());
            }
            let broken = self.look().await;
            if !broken.is_empty() {
                return broken;
            }
            if moved.elapsed() > STANDSTILL {
                return vec![violation("I1", format!("{left} operations do not end: {waiting:?}"))];
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }

    /// The last log lines of every worker, for a failed campaign.
    fn give_up(self, broken: Vec<Violation>) -> Vec<Violation> {
        for place in &self.places {
            let text = std::fs::read_to_string(&place.log).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            println!("--- {}\n{}", place.log.display(), lines[lines.len().saturating_sub(40)..].join("\n"));
        }
        broken
    }

    async fn judge(mut self, plan: &Plan) -> Vec<Violation> {
        let write = self.customers.end_write().await;
        self.count_write(write);
        // The living workers empty the lists of the dead ones first.
        let workers = self.places.len();
        let company = &self.company;
        company
            .wait("the lists to be empty and the dead to be forgotten", || async {
                let lists = Lists::read(&mut company.lists.connection()).await.ok()?;
                let empty = lists.ready.iter().chain(lists.processing.values().flatten()).next().is_none();
                (empty && lists.workers.len() <= workers).then_some(())
            })
            .await;
        for place in self.places.drain(..) {
            let worker = &place.worker;
            company.wait("the worker to handle a stop", || async { worker.handles_a_stop().then_some(()) }).await;
            place.worker.stop().await;
        }
        for mut worker in self.draining.drain(..) {
            worker.ended().await;
        }
        let ends = self.ends().await;
        self.facts.read(&self.company).await;
        let (snapshots, _) = self.sampler.so_far();
        let mut broken = self.sampler.end().await;
        broken.append(&mut self.broken);
        broken.extend(check::everything(&self.facts));
        let report =
            Report { plan, took: self.began.elapsed(), counts: &self.counts, ends: &ends, snapshots, broken: &broken };
        report.print();
        if let Some(folder) = setting("CRASH_REPORT") {
            report.write(Path::new(&folder));
        }
        self.company.world.shutdown().await.unwrap();
        broken
    }
}

fn spawn(company: &Company, redis: &Proxy, database: Option<&Proxy>, log: &Path) -> WorkerProcess {
    // Of a log that grows for hours only the end is kept.
    if std::fs::metadata(log).is_ok_and(|file| file.len() > 1 << 20) {
        let _ = std::fs::remove_file(log);
    }
    let mut settings =
        vec![("PROVISION_SLOTS", SLOTS.to_string()), ("REDIS_URL", format!("redis://127.0.0.1:{}/0", redis.port()))];
    settings.extend(database.map(|proxy| ("DATABASE_URL", company.db.url_at(proxy.port()))));
    WorkerProcess::start_role(company, &["worker", "provision"], settings, Some(log))
}

/// The name under which an event is counted.
const fn name(what: What) -> &'static str {
    match what {
        What::Begin => "operations begun",
        What::BeginSilently => "operations begun without offering",
        What::Cancel(_) => "cancellations",
        What::Kill(_) => "kills",
        What::Drain(_) => "drains",
        What::Stop(_) => "stops",
        What::Continue(_) => "stops that ended",
        What::RedisDown => "kills of Redis",
        What::RedisUp => "starts of Redis",
        What::Flush => "flushes",
        What::RedisReset(_) => "resets of Redis connections",
        What::RedisStill(_) => "silences of Redis",
        What::RedisPass(_) => "silences of Redis that ended",
        What::DatabaseReset(_) => "resets of database connections",
        What::DatabaseStill(_) => "silences of the database",
        What::DatabasePass(_) => "silences of the database that ended",
        What::HangUp(_) => "hang-ups of a customer",
    }
}
