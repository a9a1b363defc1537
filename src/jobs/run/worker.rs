//! One worker of one queue: receives, handles, sweeps, reaps, writes heartbeats, and drains when it stops.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::db;
use crate::jobs::deps::WorkerDeps;
use crate::jobs::lists::intake::{DATABASE_BACKOFF, Intake};
use crate::jobs::lists::reaper::reap;
use crate::jobs::lists::requirements::{RequirementError, check_redis};
use crate::jobs::queue::Queue;
use crate::jobs::rows::recover::recover_expired;
use crate::jobs::rows::slots;
use crate::jobs::rows::sweeper::{SweepScope, lists_lost, sweep};
use crate::telemetry::{Outage, Outcome};

use super::handle::ClaimHandler;
use super::inflight::InFlight;
use super::renewer;

/// Why a worker could not start.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Redis cannot be used for queues.
    #[error("the worker of {queue} refuses to start")]
    Requirement {
        /// The queue.
        queue: Queue,
        /// The reason.
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
    /// Creates a worker.
    pub fn new(deps: WorkerDeps) -> Self {
        Self { deps: Arc::new(deps), inflight: InFlight::default() }
    }

    /// The queue it receives from.
    pub fn queue(&self) -> Queue {
        self.deps.lane.queue
    }

    /// Works until `stop` fires, then drains: receives nothing more, hands back ids that it has not begun, asks running
    /// jobs to stop at the next step, and waits for them up to the drain timeout. Operations that are still running
    /// then keep their leases until other workers recover them. Outages of Redis and the database do not end the
    /// worker.
    pub async fn run(self, stop: CancellationToken) -> Result<(), WorkerError> {
        let deps = &self.deps;
        match check_redis(&deps.lane.lists).await {
            Ok(()) => {}
            Err(source @ RequirementError::Eviction { .. }) => {
                return Err(WorkerError::Requirement { queue: deps.lane.queue, source });
            }
            Err(RequirementError::Unreachable(error)) => {
                tracing::warn!(%error, queue = %deps.lane.queue, "Redis does not answer yet; its policy is checked later");
            }
        }
        let stop_renewing = CancellationToken::new();
        let (connect, metrics) = (deps.connect.clone(), deps.lane.metrics.clone());
        let renewer = renewer::spawn(connect, self.inflight.clone(), deps.settings, metrics, stop_renewing.clone())
            .map_err(WorkerError::Renewer)?;
        let upkeep = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(sweeping(deps.clone(), upkeep.clone()));
        tasks.spawn(writing_heartbeats(deps.clone(), upkeep.clone()));
        let claims = ClaimHandler { deps: deps.clone(), inflight: self.inflight.clone(), draining: stop.clone() };
        self.intake().run_with(&self.inflight, Arc::new(claims), &stop).await;
        upkeep.cancel();
        tasks.close();
        tasks.wait().await;
        if let Err(error) = deps.lane.lists.sign_out(deps.lane.queue, deps.lane.worker).await {
            tracing::debug!(%error, "could not sign out; the reaper will remove this worker");
        }
        stop_renewing.cancel();
        // The thread checks `stop` at its check interval; a blocked query must not delay the exit.
        let _ = tokio::time::timeout(Duration::from_secs(2), tokio::task::spawn_blocking(move || renewer.join())).await;
        Ok(())
    }

    fn intake(&self) -> Intake {
        let deps = &self.deps;
        Intake {
            lane: deps.lane.clone(),
            concurrency: deps.settings.concurrency,
            drain: deps.settings.drain,
            clock: deps.clock.clone(),
            failpoints: deps.failpoints.clone(),
        }
    }
}

async fn writing_heartbeats(deps: Arc<WorkerDeps>, stop: CancellationToken) {
    let every = deps.settings.worker_ttl / 5;
    loop {
        if let Err(error) = deps.lane.lists.heartbeat(deps.lane.queue, deps.lane.worker, deps.settings.worker_ttl).await
        {
            tracing::debug!(%error, "the heartbeat could not be written");
            deps.lane.clear_after(&error).await;
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
                deps.lane.metrics.swept(Outcome::Succeeded);
                outage.works();
                failures = 0;
            }
            Err(error) => {
                deps.lane.metrics.swept(Outcome::Failed);
                outage.failed(format!("{error:#}"));
                failures += 1;
            }
        }
        if reaped.elapsed() >= deps.settings.reap {
            reaped = tokio::time::Instant::now();
            match reap(&deps.lane.lists, deps.lane.queue, &deps.failpoints).await {
                Ok(moved) => deps.lane.metrics.reaped(moved),
                Err(error) => tracing::debug!(%error, "could not reap"),
            }
        }
        let wait = if failures == 0 { deps.settings.sweep } else { DATABASE_BACKOFF.jittered(failures) };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        if failures > 0 {
            // The shared connection reports the old failure once before it reconnects.
            let _ = deps.lane.lists.ready(deps.lane.queue).await;
        }
    }
}

async fn upkeep(deps: &WorkerDeps, prepared: &mut bool, known_run_id: &mut Option<String>) -> anyhow::Result<()> {
    if let Some(count) = deps.settings.slots.filter(|_| !*prepared) {
        slots::ensure_slots(&deps.db, deps.lane.queue, count).await?;
    }
    *prepared = true;
    let (now, failpoints) = (deps.clock.now(), &deps.failpoints);
    let recovered = recover_expired(&deps.db, deps.lane.queue, &deps.registry, &deps.settings, now, failpoints).await?;
    deps.lane.metrics.recovered(recovered as u64);
    let run_id = deps.lane.lists.run_id().await?;
    let restarted = run_id.is_some() && *known_run_id != run_id;
    if restarted && let Err(error @ RequirementError::Eviction { .. }) = check_redis(&deps.lane.lists).await {
        // The worker keeps running; the sweeper offers again what Redis evicts.
        tracing::error!(%error, queue = %deps.lane.queue, "{error}");
    }
    let what = if restarted || lists_lost(&deps.db, &deps.lane.lists, deps.lane.queue, &deps.registry).await? {
        SweepScope::Everything
    } else {
        SweepScope::Overdue
    };
    let offered = sweep(&deps.db, &deps.lane.lists, deps.lane.queue, &deps.registry, what, failpoints).await?;
    deps.lane.metrics.offered(offered as u64);
    *known_run_id = run_id;
    Ok(())
}
