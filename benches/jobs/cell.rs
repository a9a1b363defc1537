//! One measured workload of zpack, in a process of its own. The last line of its output is the result as JSON.
//! benches/bullmq/cell.mjs does the same with BullMQ.
//!
//! With a database, this is the worker as it ships. Without one, the worker's own [`Intake`] receives and acknowledges
//! the ids, and a handler only counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use rustix::time::{ClockId, clock_gettime};
use sea_orm::DatabaseConnection;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use zpack::db::entities::operation::{self, Actor, CancelRule};
use zpack::db::{self, RedisLocation, RedisPool};
use zpack::jobs::{
    CrashPolicy, Deadlines, Dedup, Failpoints, Handled, Handler, Intake, Job, JobContext, JobEnd, JobSettings, Lane,
    Lists, NewDebt, Queue, Registry, UndoEnd, Work, WorkSpec, Worker, WorkerDeps,
};
use zpack::kernel::{Clock, OperationId, Secret, VmId, WorkerId};
use zpack::operations::{Order, begin};
use zpack::telemetry::Metrics;

const QUEUE: Queue = Queue::Provision;
const KIND: &str = "bench";

/// Connections to the database, the default of `DATABASE_MAX_CONNECTIONS`.
const CONNECTIONS: u32 = 10;

/// The command line arguments of a cell.
pub struct Cell {
    pub work: String,
    pub port: u16,
    pub jobs: usize,
    pub width: u32,
    pub database: Option<String>,
}

impl Cell {
    /// Parses `<work> <redis port> <jobs> <at a time> [database]`.
    pub fn parse(arguments: &[String]) -> Self {
        Self {
            work: arguments[0].clone(),
            port: arguments[1].parse().unwrap(),
            jobs: arguments[2].parse().unwrap(),
            width: arguments[3].parse().unwrap(),
            database: arguments.get(4).cloned(),
        }
    }

    /// Runs the workload and prints the result.
    pub async fn run(&self) {
        let result = match self.work.as_str() {
            "enqueue" => self.enqueue().await,
            "drain" => self.drain().await,
            "consume" => self.consume().await,
            "produce" => self.produce().await,
            "hold" => self.hold().await,
            other => panic!("no work named {other}"),
        };
        println!("{result}");
    }

    fn lists(&self) -> Lists {
        let location = RedisLocation::at(&format!("redis://127.0.0.1:{}/0", self.port)).unwrap();
        Lists::new(RedisPool::new(location, Duration::from_secs(2)))
    }

    async fn db(&self) -> Option<DatabaseConnection> {
        let url = Secret::new(self.database.as_deref()?);
        Some(db::connect(&url, CONNECTIONS).await.unwrap())
    }

    async fn enqueue(&self) -> Value {
        let enqueuer = Enqueuer { lists: self.lists(), db: self.db().await };
        enqueuer.lists.ready(QUEUE).await.unwrap();
        let left = Arc::new(AtomicUsize::new(self.jobs));
        let take = |left: &AtomicUsize| left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        let watch = Watch::start();
        let tasks: Vec<_> = (0..self.width)
            .map(|_| {
                let (enqueuer, left) = (enqueuer.clone(), left.clone());
                tokio::spawn(async move {
                    while take(&left).is_ok() {
                        enqueuer.enqueue().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        watch.stop()
    }

    async fn drain(&self) -> Value {
        let counter = Counter::new(self.jobs);
        let watch = Mutex::new(None);
        self.handle(&counter, || *watch.lock().unwrap_or_else(PoisonError::into_inner) = Some(Watch::start())).await;
        let watch = watch.into_inner().unwrap_or_else(PoisonError::into_inner).unwrap();
        let ended = counter.ended.lock().unwrap_or_else(PoisonError::into_inner).unwrap();
        json!({ "seconds": ended.0.saturating_sub(watch.began).as_secs_f64(),
                "cpu": ended.1.saturating_sub(watch.cpu).as_secs_f64() })
    }

    /// Runs jobs, and returns when each id was started.
    async fn consume(&self) -> Value {
        let counter = Counter::new(self.jobs);
        self.handle(&counter, || {
            tokio::spawn(async {
                tokio::time::sleep(Duration::from_millis(300)).await;
                println!("ready");
            });
        })
        .await;
        let started = std::mem::take(&mut *counter.started.lock().unwrap_or_else(PoisonError::into_inner));
        let started: Vec<_> = started.iter().map(|(id, at)| json!([id.to_string(), at.as_nanos() as u64])).collect();
        json!({ "started": started })
    }

    /// Enqueues `width` ids a second, on schedule whatever the responses. Returns when each enqueue began and when its
    /// row was committed.
    async fn produce(&self) -> Value {
        let enqueuer = Enqueuer { lists: self.lists(), db: self.db().await };
        enqueuer.lists.ready(QUEUE).await.unwrap();
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / self.width);
        let mut tasks = Vec::new();
        for _ in 0..self.jobs {
            ticks.tick().await;
            let enqueuer = enqueuer.clone();
            tasks.push(tokio::spawn(async move {
                let begun = monotonic();
                let (id, committed) = enqueuer.enqueue().await;
                json!([id.to_string(), begun.as_nanos() as u64, committed.as_nanos() as u64])
            }));
        }
        let mut sent = Vec::new();
        for task in tasks {
            sent.push(task.await.unwrap());
        }
        json!({ "sent": sent })
    }

    /// Runs a job that reports its start and never ends.
    async fn hold(&self) -> Value {
        let worker = self.worker(Arc::new(Holder), JobSettings::default(), self.db().await.unwrap());
        tokio::spawn(async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            println!("ready");
        });
        worker.run(CancellationToken::new()).await.unwrap();
        Value::Null
    }

    /// Handles as many ids as `counter` expects. Calls `ready` before the first one can be received.
    async fn handle(&self, counter: &Counter, ready: impl FnOnce()) {
        let Some(db) = self.db().await else {
            let intake = Intake {
                lane: self.lane(),
                concurrency: self.width,
                drain: Duration::from_secs(5),
                clock: Clock::System,
                failpoints: Failpoints::default(),
            };
            ready();
            return intake.run(counter.clone(), &counter.stop).await;
        };
        let settings = JobSettings { slots: Some(self.width), concurrency: self.width, ..JobSettings::default() };
        let worker = self.worker(Arc::new(counter.clone()), settings, db);
        ready();
        worker.run(counter.stop.clone()).await.unwrap();
    }

    fn worker(&self, job: Arc<dyn Job>, settings: JobSettings, db: DatabaseConnection) -> Worker {
        let url = self.database.clone().unwrap();
        Worker::new(WorkerDeps {
            lane: self.lane(),
            db,
            connect: Arc::new(move || {
                let url = Secret::new(&url);
                async move { Ok(db::connect(&url, 1).await.unwrap()) }.boxed()
            }),
            registry: Registry::for_queue(QUEUE).with(job).unwrap(),
            settings,
            clock: Clock::System,
            failpoints: Failpoints::default(),
        })
    }

    fn lane(&self) -> Lane {
        Lane {
            queue: QUEUE,
            worker: WorkerId::generate(),
            lists: self.lists(),
            block: Duration::from_secs(2),
            metrics: Metrics::default().jobs(QUEUE.as_str()),
        }
    }
}

fn monotonic() -> Duration {
    elapsed(ClockId::Monotonic)
}

fn elapsed(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Wall-clock time and processor time of this process since a moment.
struct Watch {
    began: Duration,
    cpu: Duration,
}

impl Watch {
    fn start() -> Self {
        Self { began: monotonic(), cpu: elapsed(ClockId::ProcessCPUTime) }
    }

    fn stop(&self) -> Value {
        json!({ "seconds": (monotonic() - self.began).as_secs_f64(),
                "cpu": (elapsed(ClockId::ProcessCPUTime) - self.cpu).as_secs_f64() })
    }
}

/// A payload of a usual size for a job that does nothing.
#[derive(Serialize, Deserialize)]
struct Padding {
    padding: String,
}

impl Work for Padding {
    const KIND: &'static str = KIND;
    const QUEUE: Queue = QUEUE;
    const MAX_STARTS: i32 = 1;
    const CANCEL: CancelRule = CancelRule::Anytime;

    fn steps(&self) -> usize {
        0
    }

    fn vmid(&self) -> Option<VmId> {
        None
    }

    fn shown(&self) -> Value {
        Value::Null
    }

    fn dedup(&self) -> Dedup {
        Dedup::None
    }
}

/// Enqueues as the API does: the row first, if there is a database, then the offer.
#[derive(Clone)]
struct Enqueuer {
    lists: Lists,
    db: Option<DatabaseConnection>,
}

impl Enqueuer {
    /// The new id, and when its row was committed.
    async fn enqueue(&self) -> (OperationId, Duration) {
        let id = match &self.db {
            None => OperationId::generate(),
            Some(db) => {
                let tx = db::begin(db).await.unwrap();
                let order = Order::new(Padding { padding: "x".repeat(180) });
                let begun = begin(&tx, &order, Actor::System, Clock::System.now()).await.unwrap();
                tx.commit().await.unwrap();
                begun.operation.id
            }
        };
        let committed = monotonic();
        self.lists.offer_new(QUEUE, id).await.unwrap();
        (id, committed)
    }
}

/// Counts ids down and records when each was started; stops the worker after the last one.
#[derive(Clone)]
struct Counter {
    left: Arc<AtomicUsize>,
    started: Arc<Mutex<Vec<(OperationId, Duration)>>>,
    /// Wall-clock time and processor time after the last id.
    ended: Arc<Mutex<Option<(Duration, Duration)>>>,
    stop: CancellationToken,
}

impl Counter {
    fn new(jobs: usize) -> Self {
        Self {
            left: Arc::new(AtomicUsize::new(jobs)),
            started: Arc::new(Mutex::new(Vec::with_capacity(jobs))),
            ended: Arc::default(),
            stop: CancellationToken::new(),
        }
    }

    fn count(&self, id: OperationId) {
        let now = monotonic();
        self.started.lock().unwrap_or_else(PoisonError::into_inner).push((id, now));
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, elapsed(ClockId::ProcessCPUTime)));
            self.stop.cancel();
        }
    }
}

impl Handler for Counter {
    async fn handle(&self, id: OperationId) -> Handled {
        self.count(id);
        Handled::Done
    }

    async fn is_ready(&self, _: Handled, _: u32) -> bool {
        true
    }
}

/// A job that never ends.
struct Holder;

macro_rules! bench_job {
    ($name:ty, |$self:ident, $cx:ident| $run:expr) => {
        #[async_trait::async_trait]
        impl Job for $name {
            fn spec(&self) -> WorkSpec {
                WorkSpec::of::<Padding>()
            }

            fn deadlines(&self) -> Deadlines {
                Deadlines::forward(Duration::from_secs(3600))
            }

            fn crash_policy(&self) -> CrashPolicy {
                CrashPolicy::Resume
            }

            fn possible_debts(&self, _: &operation::Model) -> Vec<NewDebt> {
                Vec::new()
            }

            async fn run(&$self, $cx: &JobContext) -> JobEnd {
                $run
            }

            async fn undo(&self, _: &JobContext) -> UndoEnd {
                UndoEnd::Nothing
            }
        }
    };
}

bench_job!(Counter, |self, cx| {
    self.count(cx.id());
    JobEnd::Succeeded
});
bench_job!(Holder, |self, _cx| {
    println!("started");
    std::future::pending().await
});
