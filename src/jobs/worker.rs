//! One worker of one queue: receive, handle, sweep, reap, beat, and drain on request.

use std::sync::Arc;
use std::time::Duration;

use redis::Client;
use sea_orm::DatabaseConnection;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::db;
use crate::kernel::{Clock, WorkerId};
use crate::telemetry::{JobMetrics, Outage, Outcome};

use super::failpoint::Failpoints;
use super::handle::Claims;
use super::inflight::InFlight;
use super::intake::{Intake, TROUBLE};
use super::job::Registry;
use super::lists::{Lists, mend_after};
use super::queue::Queue;
use super::reaper::reap;
use super::recover::recover_expired;
use super::renewer::{self, Connect};
use super::requirements::{RequirementError, check_redis};
use super::settings::JobSettings;
use super::slots;
use super::sweeper::{Sweep, lists_lost, sweep};

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
        let claims = Claims { deps: deps.clone(), inflight: self.inflight.clone(), draining: stop.clone() };
        self.intake().run_with(&self.inflight, Arc::new(claims), &stop).await;
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

    fn intake(&self) -> Intake {
        let deps = &self.deps;
        Intake {
            queue: deps.queue,
            worker: deps.worker,
            redis: deps.redis.clone(),
            lists: deps.lists.clone(),
            concurrency: deps.settings.concurrency,
            block: deps.settings.block,
            drain: deps.settings.drain,
            clock: deps.clock.clone(),
            failpoints: deps.failpoints.clone(),
            metrics: deps.metrics.clone(),
        }
    }
}

async fn beating(deps: Arc<WorkerDeps>, stop: CancellationToken) {
    let every = deps.settings.worker_ttl / 5;
    loop {
        if let Err(error) = deps.lists.beat(deps.queue, deps.worker, deps.settings.worker_ttl).await {
            tracing::debug!(%error, "could not beat");
            mend_after(&deps.lists, deps.queue, deps.worker, &error, &deps.metrics).await;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}

async fn sweeping(deps: Arc<WorkerDeps>, stop: CancellationToken) {
    let outage = Outage::of("the sweep of due operations");
    let mut run_id = None;
    let mut failures = 0;
    let mut prepared = false;
    let mut reaped = tokio::time::Instant::now();
    loop {
        match db::in_time(upkeep(&deps, &mut prepared, &mut run_id)).await {
            Ok(()) => {
                deps.metrics.swept(Outcome::Succeeded);
                outage.works();
                failures = 0;
            }
            Err(error) => {
                deps.metrics.swept(Outcome::Failed);
                outage.failed(format!("{error:#}"));
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
        let wait = if failures == 0 { deps.settings.sweep } else { TROUBLE.jittered(failures) };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        if failures > 0 {
            // The shared connection answers once with the failure before it tries again.
            let _ = deps.lists.ready(deps.queue).await;
        }
    }
}

async fn upkeep(deps: &WorkerDeps, prepared: &mut bool, known_run_id: &mut Option<String>) -> anyhow::Result<()> {
    if let Some(count) = deps.settings.slots.filter(|_| !*prepared) {
        slots::ensure_slots(&deps.db, deps.queue, count).await?;
    }
    *prepared = true;
    let (now, failpoints) = (deps.clock.now(), &deps.failpoints);
    let recovered = recover_expired(&deps.db, deps.queue, &deps.registry, &deps.settings, now, failpoints).await?;
    deps.metrics.recovered(recovered as u64);
    let run_id = deps.lists.run_id().await?;
    let restarted = run_id.is_some() && *known_run_id != run_id;
    if restarted && let Err(error @ RequirementError::Eviction { .. }) = check_redis(&deps.lists).await {
        // A worker does not leave in the middle of its work; what Redis drops is offered again.
        tracing::error!(%error, queue = %deps.queue, "{error}");
    }
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
