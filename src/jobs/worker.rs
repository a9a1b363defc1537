//! One worker of one queue: receive, handle, sweep, reap, beat, and drain on request.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::Client;
use sea_orm::{DatabaseConnection, DbErr};
use tokio::sync::Semaphore;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::kernel::{Backoff, Clock, WorkerId};
use crate::telemetry::{JobMetrics, Outcome};

use super::failpoint::Failpoints;
use super::handle::{Handled, handle};
use super::inflight::InFlight;
use super::job::Registry;
use super::lists::Lists;
use super::queue::Queue;
use super::reaper::reap;
use super::receiver::Receiver;
use super::recover::recover_expired;
use super::renewer::{self, Connect};
use super::requirements::{RequirementError, check_redis};
use super::settings::JobSettings;
use super::slots;
use super::sweeper::{Sweep, lists_lost, sweep};

/// The waits after a failed database or Redis call.
pub(super) const TROUBLE: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));

/// What a worker needs.
pub struct WorkerDeps {
    /// The queue it works on.
    pub queue: Queue,
    /// Its name, new for every start.
    pub worker: WorkerId,
    /// The database.
    pub db: DatabaseConnection,
    /// Opens the renewer's own connection.
    pub connect: Connect,
    /// Redis, for the blocking connection.
    pub redis: Client,
    /// The lists, for short commands.
    pub lists: Lists,
    /// The jobs it knows.
    pub registry: Registry,
    /// Its times and limits.
    pub settings: JobSettings,
    /// The clock of the process, for times that are shown.
    pub clock: Clock,
    /// Places where tests kill, stop or hold the process.
    pub failpoints: Failpoints,
    /// What it counts.
    pub metrics: JobMetrics,
}

/// Why a worker could not start.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Redis answered, but is not fit.
    #[error("the worker of {queue} refuses to start")]
    Requirement {
        /// The queue.
        queue: Queue,
        /// Why.
        #[source]
        source: RequirementError,
    },
    /// The thread that renews leases could not be started.
    #[error("the lease renewer could not be started")]
    Renewer(#[source] std::io::Error),
}

/// A worker that is ready to run.
pub struct Worker {
    deps: Arc<WorkerDeps>,
    inflight: InFlight,
}

impl Worker {
    /// A worker over `deps`.
    pub fn new(deps: WorkerDeps) -> Self {
        Self { deps: Arc::new(deps), inflight: InFlight::default() }
    }

    /// Works until `stop` fires, then drains: receives nothing more, hands back what it has not begun, asks running
    /// jobs to stop at the next step, and waits for them up to the drain time. What is left then keeps its lease and is
    /// recovered by others. Redis and the database may come and go meanwhile.
    pub async fn run(self, stop: CancellationToken) -> Result<(), WorkerError> {
        let deps = &self.deps;
        match check_redis(&deps.lists).await {
            Ok(()) => {}
            Err(source @ RequirementError::Eviction { .. }) => {
                return Err(WorkerError::Requirement { queue: deps.queue, source });
            }
            Err(RequirementError::Unreachable(error)) => {
                tracing::warn!(%error, queue = %deps.queue, "Redis does not answer yet; its policy is checked later");
            }
        }
        let stop_renewing = CancellationToken::new();
        let (connect, metrics) = (deps.connect.clone(), deps.metrics.clone());
        let renewer = renewer::spawn(connect, self.inflight.clone(), deps.settings, metrics, stop_renewing.clone())
            .map_err(WorkerError::Renewer)?;
        let upkeep = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(sweeping(deps.clone(), upkeep.clone()));
        tasks.spawn(beating(deps.clone(), upkeep.clone()));
        let jobs = TaskTracker::new();
        let received = self.receive(&stop, &jobs).await;
        jobs.close();
        if tokio::time::timeout(deps.settings.drain, jobs.wait()).await.is_err() {
            tracing::warn!(queue = %deps.queue, "stopped with jobs still running; others will recover them");
        }
        drop(received);
        upkeep.cancel();
        tasks.close();
        tasks.wait().await;
        if let Err(error) = deps.lists.sign_off(deps.queue, deps.worker).await {
            tracing::debug!(%error, "could not sign off; the reaper will notice");
        }
        stop_renewing.cancel();
        // The thread wakes within its check interval; a blocked query must not hold up the exit.
        let _ = tokio::time::timeout(Duration::from_secs(2), tokio::task::spawn_blocking(move || renewer.join())).await;
        Ok(())
    }

    async fn receive(&self, stop: &CancellationToken, jobs: &TaskTracker) -> Receiver {
        let deps = &self.deps;
        let mut receiver = Receiver::new(
            deps.redis.clone(),
            deps.lists.clone(),
            deps.queue,
            deps.worker,
            self.inflight.clone(),
            deps.settings.block,
            deps.metrics.clone(),
        );
        self.wake_on_stop(stop, &receiver);
        let permits = Arc::new(Semaphore::new(deps.settings.concurrency.max(1) as usize));
        let (report, mut reports) = mpsc::unbounded_channel();
        while !stop.is_cancelled() {
            let permit = tokio::select! {
                () = stop.cancelled() => break,
                permit = permits.clone().acquire_owned() => permit,
            };
            let Ok(permit) = permit else { break };
            if let Some(worst) = std::iter::from_fn(|| reports.try_recv().ok()).max_by_key(|h| *h as u8) {
                self.pause_after(worst, stop).await;
            }
            let received = receiver.next().await;
            if !receiver.is_failing() {
                deps.metrics.receiving(deps.clock.now());
            }
            let Some(id) = received else { continue };
            if stop.is_cancelled() {
                self.give_back(id).await;
                break;
            }
            let (deps, inflight, stop, report) = (deps.clone(), self.inflight.clone(), stop.clone(), report.clone());
            jobs.spawn(async move {
                let handled = handle(&deps, &inflight, &stop, id).await;
                // The receive loop may be gone already.
                let _ = report.send(handled);
                drop(permit);
            });
        }
        let waiting: Vec<_> = receiver.take_backlog().collect();
        for id in waiting {
            self.give_back(id).await;
        }
        receiver
    }

    async fn give_back(&self, id: crate::kernel::OperationId) {
        let deps = &self.deps;
        if let Err(error) = deps.lists.hand_back(deps.queue, deps.worker, id).await {
            tracing::debug!(operation.id = %id, %error, "could not hand {id} back; the sweeper will offer it");
        }
        self.inflight.release(id);
    }

    fn wake_on_stop(&self, stop: &CancellationToken, receiver: &Receiver) {
        let (lists, stop, connection) = (self.deps.lists.clone(), stop.clone(), receiver.connection_id());
        tokio::spawn(async move {
            stop.cancelled().await;
            let id = connection.load(Ordering::SeqCst);
            if id != 0 {
                // Without it the receiver returns by itself within its block time.
                let _ = lists.unblock(id).await;
            }
        });
    }

    /// Waits until receiving makes sense again.
    async fn pause_after(&self, handled: Handled, stop: &CancellationToken) {
        let deps = &self.deps;
        for attempt in 0.. {
            deps.metrics.receiving(deps.clock.now());
            match handled {
                Handled::Normally => return,
                Handled::NoSlot => {
                    let limit = deps.settings.slots.unwrap_or(0);
                    if slots::free(&deps.db, deps.queue, limit).await.is_ok_and(|free| !free.is_empty()) {
                        return;
                    }
                }
                Handled::Trouble => {
                    if deps.db.ping().await.is_ok() && attempt > 0 {
                        return;
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(TROUBLE.jittered(attempt.min(2))) => {}
            }
        }
    }
}

async fn beating(deps: Arc<WorkerDeps>, stop: CancellationToken) {
    let every = deps.settings.worker_ttl / 5;
    loop {
        if let Err(error) = deps.lists.beat(deps.queue, deps.worker, deps.settings.worker_ttl).await {
            tracing::debug!(%error, "could not beat");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}

async fn sweeping(deps: Arc<WorkerDeps>, stop: CancellationToken) {
    let mut run_id = None;
    let mut failures = 0;
    let mut prepared = false;
    let mut reaped = tokio::time::Instant::now();
    loop {
        if !prepared {
            prepared = prepare(&deps).await;
        }
        match upkeep(&deps, &mut run_id).await {
            Ok(()) => {
                deps.metrics.swept(Outcome::Succeeded);
                failures = 0;
            }
            Err(error) => {
                deps.metrics.swept(Outcome::Failed);
                if failures == 0 {
                    tracing::warn!(error = format!("{error:#}"), queue = %deps.queue, "cannot sweep; trying again");
                }
                failures += 1;
            }
        }
        if reaped.elapsed() >= deps.settings.reap {
            reaped = tokio::time::Instant::now();
            match reap(&deps.lists, deps.queue, &deps.failpoints).await {
                Ok(moved) => deps.metrics.reaped(moved),
                Err(error) => tracing::debug!(%error, "could not reap"),
            }
        }
        let wait = deps.settings.sweep + if failures == 0 { Duration::ZERO } else { TROUBLE.jittered(failures) };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Creates the slot rows; tried again until the database answers.
async fn prepare(deps: &WorkerDeps) -> bool {
    let Some(count) = deps.settings.slots else { return true };
    let ensured: Result<(), DbErr> = slots::ensure_slots(&deps.db, deps.queue, count).await;
    if let Err(error) = &ensured {
        tracing::warn!(%error, queue = %deps.queue, "could not create the slots");
    }
    ensured.is_ok()
}

async fn upkeep(deps: &WorkerDeps, known_run_id: &mut Option<String>) -> anyhow::Result<()> {
    let (now, failpoints) = (deps.clock.now(), &deps.failpoints);
    let recovered = recover_expired(&deps.db, deps.queue, &deps.registry, &deps.settings, now, failpoints).await?;
    deps.metrics.recovered(recovered as u64);
    let run_id = deps.lists.run_id().await?;
    let restarted = run_id.is_some() && *known_run_id != run_id;
    let what = if restarted || lists_lost(&deps.db, &deps.lists, deps.queue, &deps.registry).await? {
        Sweep::Everything
    } else {
        Sweep::Overdue
    };
    let offered = sweep(&deps.db, &deps.lists, deps.queue, &deps.registry, what, failpoints).await?;
    deps.metrics.offered(offered as u64);
    *known_run_id = run_id;
    Ok(())
}
