//! The job runtime alone: a private database and Redis, and workers that run the jobs of a test.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use zpack::db::entities::{operation, queue_slot};
use zpack::jobs::{
    CrashPolicy, Deadlines, Failpoints, Job, JobContext, JobEnd, JobSettings, Lane, Lists, NewDebt, Queue, Registry,
    UndoEnd, WorkSpec, WorkerDeps,
};
use zpack::kernel::{Clock, OperationId, WorkerId};
use zpack::telemetry::Metrics;

use super::worker::{RunningWorker, renewer_connection};
use super::{PrivateRedis, TestDb, lists_at, rows};

/// The queue of these operations.
pub const QUEUE: Queue = Queue::Host;

/// The timeout of every wait.
const DEADLINE: Duration = Duration::from_secs(60);

/// Stores, and the metrics of the workers on them.
pub struct Runtime {
    pub test: TestDb,
    pub lists: Lists,
    pub metrics: Metrics,
    _redis: PrivateRedis,
}

impl Runtime {
    /// One over `test`.
    pub fn over(test: TestDb) -> Self {
        let redis = PrivateRedis::start();
        let lists = lists_at(redis.url());
        Self { test, lists, metrics: Metrics::default(), _redis: redis }
    }

    /// Settings of a worker with short intervals that runs one operation at a time.
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
            grace: Duration::from_millis(300),
            undo_stale: true,
        }
    }

    /// Starts a worker that knows `jobs`.
    pub fn worker(&self, jobs: impl IntoIterator<Item = Script>, settings: JobSettings) -> RunningWorker {
        let jobs = jobs.into_iter().map(|job| Arc::new(job) as Arc<dyn Job>);
        let registry = jobs.fold(Registry::for_queue(QUEUE), |registry, job| registry.with(job).unwrap());
        RunningWorker::start(WorkerDeps {
            lane: Lane {
                queue: QUEUE,
                worker: WorkerId::generate(),
                lists: self.lists.clone(),
                block: Duration::from_millis(200),
                metrics: self.metrics.jobs(QUEUE.as_str()),
            },
            db: self.test.db.clone(),
            connect: renewer_connection(&self.test.url),
            registry,
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

    /// How many operations hold a slot.
    pub async fn slots_taken(&self) -> u64 {
        let taken = queue_slot::Entity::find().filter(queue_slot::Column::OperationId.is_not_null());
        taken.count(&self.test.db).await.unwrap()
    }

    /// The value of `series`, a name with its labels, of all workers.
    pub fn counted(&self, series: &str) -> f64 {
        let text = self.metrics.render().unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        line.unwrap_or_else(|| panic!("no {series} in\n{text}"))
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
    deadlines: Deadlines,
    run: Play<JobEnd>,
    unwind: Play<UndoEnd>,
}

impl Script {
    /// A job that runs `run` and has nothing to undo.
    pub fn new<F>(kind: &'static str, run: impl Fn(JobContext) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = JobEnd> + Send + 'static,
    {
        Self {
            kind,
            policy: CrashPolicy::Resume,
            deadlines: Deadlines { run: Duration::from_secs(600), undo: Duration::from_secs(600) },
            run: Arc::new(move |cx| Box::pin(run(cx))),
            unwind: Arc::new(|_| Box::pin(async { UndoEnd::Nothing })),
        }
    }

    /// The same with steps that must not be repeated, and `unwind` to undo them.
    pub fn undone_by<F>(self, unwind: impl Fn(JobContext) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = UndoEnd> + Send + 'static,
    {
        Self { policy: CrashPolicy::UndoExternalEffects, unwind: Arc::new(move |cx| Box::pin(unwind(cx))), ..self }
    }

    /// The same with these deadlines.
    pub fn within(self, run: Duration, undo: Duration) -> Self {
        Self { deadlines: Deadlines { run, undo }, ..self }
    }
}

#[async_trait]
impl Job for Script {
    fn spec(&self) -> WorkSpec {
        WorkSpec { kind: self.kind, queue: QUEUE, version: 1 }
    }

    fn deadlines(&self) -> Deadlines {
        self.deadlines
    }

    fn crash_policy(&self) -> CrashPolicy {
        self.policy
    }

    fn possible_debts(&self, _: &operation::Model) -> Vec<NewDebt> {
        Vec::new()
    }

    async fn run(&self, cx: &JobContext) -> JobEnd {
        (self.run)(cx.clone()).await
    }

    async fn undo(&self, cx: &JobContext) -> UndoEnd {
        (self.unwind)(cx.clone()).await
    }
}
