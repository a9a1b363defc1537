//! Handles one received id: claims the operation, runs or undoes it, and writes the end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::db;
use crate::db::entities::operation::OperationState;
use crate::jobs::ClaimPurpose;
use crate::jobs::deps::WorkerDeps;
use crate::jobs::end::End;
use crate::jobs::job::UndoEnd;
use crate::jobs::lists::intake::{Handled, Handler};
use crate::jobs::rows::claim::{ClaimOutcome, Claimed, claim};
use crate::jobs::rows::finish::finish;
use crate::jobs::rows::owner::{LeaseLost, OwnerError};
use crate::jobs::rows::settle::end_panicked;
use crate::jobs::rows::slots;
use crate::kernel::OperationId;
use crate::kernel::boottime::since_boot;
use crate::telemetry::{ClaimMiss, FencedWrite, Purpose, RunEnd, caught};

use super::context::JobContext;
use super::inflight::InFlight;
use super::logged;

/// How long a job may continue once its lease is lost. It notices the loss at its next wait or write.
const LOST_GRACE: Duration = Duration::from_secs(10);

/// ClaimHandler and runs the operations of received ids.
pub(super) struct ClaimHandler {
    pub(super) deps: Arc<WorkerDeps>,
    pub(super) inflight: InFlight,
    /// Fires when the worker stops.
    pub(super) draining: CancellationToken,
}

impl Handler for ClaimHandler {
    async fn handle(&self, id: OperationId) -> Handled {
        let deps = &self.deps;
        deps.failpoints.hit("received").await;
        let sent = since_boot();
        let claiming = claim(&deps.db, deps.lane.queue, id, deps.lane.worker, &deps.registry, &deps.settings);
        match db::in_time(claiming).await {
            Ok(ClaimOutcome::Claimed(claimed)) => {
                deps.failpoints.hit("claimed").await;
                deps.lane.metrics.claimed(purpose(&claimed));
                let cx = self.context(&claimed, sent);
                let renewed = Renewed { inflight: &self.inflight, id };
                let end = work(deps, &claimed, &cx).await;
                drop(renewed);
                deps.lane.metrics.ended(end, since_boot().saturating_sub(sent));
                deps.failpoints.hit("finished").await;
                Handled::Done
            }
            Ok(ClaimOutcome::NotDue) => {
                deps.lane.metrics.missed(ClaimMiss::NotDue);
                Handled::Done
            }
            Ok(ClaimOutcome::Unknown) => {
                deps.lane.metrics.missed(ClaimMiss::UnknownKind);
                tracing::warn!(operation.id = %id, "left {id} queued: this worker does not know its kind or version");
                Handled::Done
            }
            Ok(ClaimOutcome::NoSlot) => {
                deps.lane.metrics.missed(ClaimMiss::NoSlot);
                Handled::NoSlot
            }
            Err(error) => {
                deps.lane.metrics.missed(ClaimMiss::Failed);
                tracing::warn!(operation.id = %id, %error, "could not claim {id}; handing it back");
                Handled::Unavailable
            }
        }
    }

    async fn is_ready(&self, handled: Handled, attempt: u32) -> bool {
        let deps = &self.deps;
        match handled {
            Handled::Done => true,
            Handled::NoSlot => {
                let limit = deps.settings.slots.unwrap_or(0);
                db::in_time(slots::free(&deps.db, deps.lane.queue, limit)).await.is_ok_and(|free| !free.is_empty())
            }
            Handled::Unavailable => db::in_time(deps.db.ping()).await.is_ok() && attempt > 0,
        }
    }
}

/// Keeps the lease of an operation renewed until it is dropped, however the work ends.
struct Renewed<'a> {
    inflight: &'a InFlight,
    id: OperationId,
}

impl Drop for Renewed<'_> {
    fn drop(&mut self) {
        self.inflight.release_ownership(self.id);
    }
}

impl ClaimHandler {
    /// Registers an operation whose claim was sent at `sent` since boot, and creates its context.
    fn context(&self, claimed: &Claimed, sent: Duration) -> JobContext {
        let operation = claimed.operation.clone();
        let job = self.deps.registry.find(&operation.kind, operation.schema_version);
        let stop_after = job.map_or(Duration::MAX, |job| job.deadlines().stop_after(claimed.purpose));
        let owned = self.inflight.own(operation.id, operation.fence, sent, stop_after);
        if operation.cancel_requested {
            owned.cancelled.cancel();
        }
        let committed = CancellationToken::new();
        if operation.committed {
            committed.cancel();
        }
        JobContext {
            server: Arc::new(Mutex::new(operation.vmid)),
            operation,
            db: self.deps.db.clone(),
            lost: owned.lost,
            cancelled: owned.cancelled,
            overdue: owned.overdue,
            draining: self.draining.clone(),
            committed,
            failpoints: self.deps.failpoints.clone(),
            inflight: self.inflight.clone(),
            self_fence: self.deps.settings.self_fence(),
        }
    }
}

async fn work(deps: &WorkerDeps, claimed: &Claimed, cx: &JobContext) -> RunEnd {
    let operation = &claimed.operation;
    let Some(job) = deps.registry.find(&operation.kind, operation.schema_version) else { return RunEnd::Lost };
    logged::began(claimed);
    let working = caught(async {
        match claimed.purpose {
            ClaimPurpose::Run => End::of_run(job.run(cx).await),
            ClaimPurpose::Undo => Some(End::Undone(job.undo(cx).await)),
        }
    });
    let end = tokio::select! {
        biased;
        end = working => end,
        () = overstayed(cx, deps.settings.grace) => Ok(None),
    };
    let end = match end {
        Ok(Some(end)) => end,
        Ok(None) => {
            tracing::warn!(operation.id = %operation.id, "lost the lease of {}: another worker continues it", operation.id);
            deps.lane.metrics.refused(FencedWrite::Run);
            return RunEnd::Lost;
        }
        Err(panicked) => {
            logged::panicked(claimed, &panicked);
            deps.lane.metrics.panicked(purpose(claimed));
            let written = persist(deps, claimed, cx, || {
                end_panicked(&deps.db, claimed, job.as_ref(), &deps.settings, deps.clock.now())
            });
            return written.await.map_or(RunEnd::Lost, |recovery| {
                logged::settled(claimed, recovery);
                RunEnd::Panicked
            });
        }
    };
    cx.failpoints.hit("ending").await;
    if write(deps, claimed, &end, cx).await { run_end(&end) } else { RunEnd::Lost }
}

/// Ends when a job has not stopped for a while after its lease was lost. It may write nothing any more, but would
/// occupy its place in this worker for ever.
async fn overstayed(cx: &JobContext, grace: Duration) {
    cx.lost.cancelled().await;
    tokio::time::sleep(grace.min(LOST_GRACE)).await;
    tracing::warn!(operation.id = %cx.id(), "the job of {} did not stop when its lease was lost; it is dropped", cx.id());
}

fn purpose(claimed: &Claimed) -> Purpose {
    match claimed.purpose {
        ClaimPurpose::Run => Purpose::Run,
        ClaimPurpose::Undo => Purpose::Undo,
    }
}

/// The metric label of an end.
fn run_end(end: &End) -> RunEnd {
    match end {
        End::Ended { state: OperationState::Succeeded, .. } => RunEnd::Succeeded,
        End::Ended { state: OperationState::Cancelled, .. } => RunEnd::Cancelled,
        End::Ended { .. } => RunEnd::Failed,
        End::Undone(UndoEnd::Nothing | UndoEnd::Complete) => RunEnd::Undone,
        End::Undone(UndoEnd::Incomplete { .. }) => RunEnd::UndoIncomplete,
        End::Undone(UndoEnd::Interrupted) | End::HandedBack => RunEnd::HandedBack,
        End::Again { .. } => RunEnd::Again,
    }
}

/// Writes the end. Returns whether that succeeded.
async fn write(deps: &WorkerDeps, claimed: &Claimed, end: &End, cx: &JobContext) -> bool {
    let written = persist(deps, claimed, cx, || finish(&deps.db, claimed, end, deps.clock.now())).await.is_some();
    if written {
        logged::ended(claimed, end, deps.clock.now());
    }
    written
}

/// Performs the last write of an owner, and retries while the lease is valid, so that a short outage of the database
/// does no harm. `None` if it could not be written.
async fn persist<T, F>(deps: &WorkerDeps, claimed: &Claimed, cx: &JobContext, work: impl Fn() -> F) -> Option<T>
where
    F: Future<Output = Result<T, OwnerError>>,
{
    let id = claimed.operation.id;
    match cx.read("end", || async { OwnerError::none_if_lost(work().await) }).await {
        Ok(Some(written)) => return Some(written),
        Ok(None) => {
            tracing::warn!(operation.id = %id, "could not end {id}: another owner took over");
            deps.lane.metrics.refused(FencedWrite::End);
        }
        Err(OwnerError::Database(error)) => {
            tracing::error!(operation.id = %id, %error, "the end of {id} cannot be written");
        }
        Err(OwnerError::LeaseLost(LeaseLost)) => {
            tracing::warn!(operation.id = %id, "could not end {id} before its lease was lost")
        }
    }
    None
}
