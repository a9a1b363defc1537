//! The job runtime alone: a database and a Redis of the test's own, and workers that run jobs a test writes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use zpack::db::entities::operation;
use zpack::jobs::{
    CrashPolicy, Failpoints, Job, JobContext, JobEnd, JobSettings, Lane, Leftover, Lists, Queue, Registry, UnwindEnd,
    WorkSpec, WorkerDeps,
};
use zpack::kernel::{Clock, OperationId, WorkerId};
use zpack::telemetry::Metrics;

use super::worker::{RunningWorker, renewer_connection};
use super::{PrivateRedis, TestDb, rows};

/// The queue of these operations.
pub const QUEUE: Queue = Queue::Host;

/// How long a test waits for a fact before it fails.
const DEADLINE: Duration = Duration::from_secs(60);

/// Stores, and what the workers on them count.
pub struct Runtime {
    pub test: TestDb,
    pub lists: Lists,
    pub metrics: Metrics,
    client: redis::Client,
    _redis: PrivateRedis,
}

impl Runtime {
    /// One over `test`.
    pub fn over(test: TestDb) -> Self {
        let redis = PrivateRedis::start();
        let client = redis::Client::open(redis.url()).unwrap();
        let lists = Lists::open(&client).unwrap();
        Self { test, lists, metrics: Metrics::default(), client, _redis: redis }
    }

    /// A worker that looks around often, and one operation at a time.
    pub fn settings() -> JobSettings {
        JobSettings {
            lease: Duration::from_secs(30),
            renew: Duration::from_millis(100),
            sweep: Duration::from_millis(50),
            reap: Duration::from_millis(500),
            worker_ttl: Duration::from_secs(5),
            drain: Duration::from_secs(10),
            slots: Some(1),
            concurrency: 1,
            unwind: true,
        }
    }

    /// Starts a worker that knows `job`.
    pub fn worker(&self, job: Script, settings: JobSettings) -> RunningWorker {
        RunningWorker::start(WorkerDeps {
            lane: Lane {
                queue: QUEUE,
                worker: WorkerId::generate(),
                redis: self.client.clone(),
                lists: self.lists.clone(),
                block: Duration::from_millis(200),
                metrics: self.metrics.jobs(QUEUE.as_str()),
            },
            db: self.test.db.clone(),
            connect: renewer_connection(&self.test.url),
            registry: Registry::for_queue(QUEUE).with(Arc::new(job)).unwrap(),
            settings,
            clock: Clock::System,
            failpoints: Failpoints::default(),
        })
    }

    /// Accepts an operation of `kind` that may start now.
    pub async fn begin(&self, kind: &str) -> OperationId {
        let now = zpack::db::now(&self.test.db).await.unwrap();
        let row = rows::queued(QUEUE, kind, now);
        rows::store(&self.test.db, std::slice::from_ref(&row)).await;
        row.id
    }

    /// The row of an operation.
    pub async fn operation(&self, id: OperationId) -> operation::Model {
        rows::read(&self.test.db, id).await
    }

    /// Waits until the row of an operation shows `fact`.
    pub async fn until(&self, id: OperationId, fact: impl Fn(&operation::Model) -> bool) -> operation::Model {
        let begun = Instant::now();
        loop {
            let row = self.operation(id).await;
            if fact(&row) {
                return row;
            }
            assert!(begun.elapsed() < DEADLINE, "still {row:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

type Play<T> = Arc<dyn Fn(JobContext) -> BoxFuture<'static, T> + Send + Sync>;

/// A job written in a test.
#[derive(Clone)]
pub struct Script {
    kind: &'static str,
    policy: CrashPolicy,
    run: Play<JobEnd>,
    unwind: Play<UnwindEnd>,
}

impl Script {
    /// One that does `run`, and has nothing to undo.
    pub fn new<F>(kind: &'static str, run: impl Fn(JobContext) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = JobEnd> + Send + 'static,
    {
        Self {
            kind,
            policy: CrashPolicy::Resume,
            run: Arc::new(move |cx| Box::pin(run(cx))),
            unwind: Arc::new(|_| Box::pin(async { UnwindEnd::Nothing })),
        }
    }
}

#[async_trait]
impl Job for Script {
    fn spec(&self) -> WorkSpec {
        WorkSpec { kind: self.kind, queue: QUEUE, version: 1, deadline: Duration::from_secs(3600) }
    }

    fn crash_policy(&self) -> CrashPolicy {
        self.policy
    }

    fn leftovers(&self, _: &operation::Model) -> Vec<Leftover> {
        Vec::new()
    }

    async fn run(&self, cx: &JobContext) -> JobEnd {
        (self.run)(cx.clone()).await
    }

    async fn unwind(&self, cx: &JobContext) -> UnwindEnd {
        (self.unwind)(cx.clone()).await
    }
}
