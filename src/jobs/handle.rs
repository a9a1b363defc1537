//! What a worker does with one received id: claim, run or unwind, write the end, forget the id.

use std::sync::Arc;

use sea_orm::DbErr;
use tokio_util::sync::CancellationToken;

use crate::db::entities::operation::OperationState;
use crate::kernel::OperationId;
use crate::telemetry::{ClaimMiss, Purpose, Refusal, RunEnd};

use super::boottime::since_boot;
use super::claim::{ClaimOutcome, ClaimPurpose, Claimed, claim};
use super::context::JobContext;
use super::finish::{End, finish};
use super::inflight::InFlight;
use super::job::UnwindEnd;
use super::worker::WorkerDeps;

/// What the receive loop should do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handled {
    /// Go on.
    Normally,
    /// Every slot is taken: wait until one is free.
    NoSlot,
    /// The database did not answer: wait a little.
    Trouble,
}

/// Handles one received id to its end.
pub(super) async fn handle(
    deps: &Arc<WorkerDeps>,
    inflight: &InFlight,
    draining: &CancellationToken,
    id: OperationId,
) -> Handled {
    deps.failpoints.hit("received").await;
    let sent = since_boot();
    let outcome = claim(&deps.db, deps.queue, id, deps.worker, &deps.registry, &deps.settings).await;
    let handled = match outcome {
        Ok(ClaimOutcome::Claimed(claimed)) => {
            deps.failpoints.hit("claimed").await;
            deps.metrics.claimed(match claimed.purpose {
                ClaimPurpose::Run => Purpose::Run,
                ClaimPurpose::Unwind => Purpose::Unwind,
            });
            let owned = inflight.own(id, claimed.operation.fence, sent);
            if claimed.operation.cancel_requested {
                owned.cancelled.cancel();
            }
            let cx = JobContext {
                operation: claimed.operation.clone(),
                db: deps.db.clone(),
                lost: owned.lost,
                cancelled: owned.cancelled,
                draining: draining.clone(),
                failpoints: deps.failpoints.clone(),
                inflight: inflight.clone(),
                self_fence: deps.settings.self_fence(),
            };
            let end = work(deps, &claimed, &cx).await;
            deps.metrics.ended(end, since_boot().saturating_sub(sent));
            deps.failpoints.hit("finished").await;
            forget(deps, id).await;
            deps.failpoints.hit("forgotten").await;
            Handled::Normally
        }
        Ok(ClaimOutcome::NotDue) => {
            deps.metrics.missed(ClaimMiss::NotDue);
            forget(deps, id).await;
            Handled::Normally
        }
        Ok(ClaimOutcome::Unknown) => {
            deps.metrics.missed(ClaimMiss::UnknownKind);
            tracing::warn!(operation.id = %id, "left {id} queued: this worker does not know its kind or version");
            forget(deps, id).await;
            Handled::Normally
        }
        Ok(ClaimOutcome::NoSlot) => {
            deps.metrics.missed(ClaimMiss::NoSlot);
            hand_back(deps, id).await;
            Handled::NoSlot
        }
        Err(error) => {
            deps.metrics.missed(ClaimMiss::Failed);
            tracing::warn!(operation.id = %id, %error, "could not claim {id}; handing it back");
            hand_back(deps, id).await;
            Handled::Trouble
        }
    };
    inflight.release(id);
    handled
}

async fn work(deps: &WorkerDeps, claimed: &Claimed, cx: &JobContext) -> RunEnd {
    let operation = &claimed.operation;
    let Some(job) = deps.registry.find(&operation.kind, operation.schema_version) else { return RunEnd::Lost };
    tracing::info!(operation.id = %operation.id, purpose = ?claimed.purpose, "began {}", operation.id);
    let end = match claimed.purpose {
        ClaimPurpose::Run => End::of_run(job.run(cx).await),
        ClaimPurpose::Unwind => Some(End::Unwound(job.unwind(cx).await)),
    };
    let Some(end) = end else {
        tracing::warn!(operation.id = %operation.id, "lost {}: another worker goes on with it", operation.id);
        deps.metrics.refused(Refusal::Run);
        return RunEnd::Lost;
    };
    cx.failpoints.hit("ending").await;
    if write(deps, claimed, &end, cx).await { run_end(&end) } else { RunEnd::Lost }
}

/// How a written end is counted.
fn run_end(end: &End) -> RunEnd {
    match end {
        End::Ended { state: OperationState::Succeeded, .. } => RunEnd::Succeeded,
        End::Ended { state: OperationState::Cancelled, .. } => RunEnd::Cancelled,
        End::Ended { .. } => RunEnd::Failed,
        End::Unwound(UnwindEnd::Nothing | UnwindEnd::Complete) => RunEnd::Unwound,
        End::Unwound(UnwindEnd::Incomplete { .. }) => RunEnd::UnwindIncomplete,
        End::Unwound(UnwindEnd::Interrupted) | End::HandedBack => RunEnd::HandedBack,
    }
}

/// Writes the end, and keeps trying while the lease lives: a database that is away for a moment costs nothing. Returns
/// whether it is written.
async fn write(deps: &WorkerDeps, claimed: &Claimed, end: &End, cx: &JobContext) -> bool {
    let id = claimed.operation.id;
    let mut attempt = 0;
    loop {
        let written: Result<_, DbErr> = finish(&deps.db, claimed, end, deps.clock.now()).await;
        match written {
            Ok(Ok(())) => {
                tracing::info!(operation.id = %id, ?end, "ended {id}");
                return true;
            }
            Ok(Err(_)) => {
                tracing::warn!(operation.id = %id, "could not end {id}: another owner took over");
                deps.metrics.refused(Refusal::End);
                return false;
            }
            Err(error) => {
                tracing::warn!(operation.id = %id, %error, "could not write the end of {id}; trying again");
            }
        }
        let wait = super::worker::TROUBLE.jittered(attempt);
        attempt += 1;
        tokio::select! {
            () = cx.lost.cancelled() => return false,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn forget(deps: &WorkerDeps, id: OperationId) {
    if let Err(error) = deps.lists.forget(deps.queue, deps.worker, id.to_string().as_bytes()).await {
        tracing::debug!(operation.id = %id, %error, "{id} stays on the list; it will be dropped as not due");
    }
}

async fn hand_back(deps: &WorkerDeps, id: OperationId) {
    if let Err(error) = deps.lists.hand_back(deps.queue, deps.worker, id).await {
        tracing::debug!(operation.id = %id, %error, "{id} could not be handed back; the sweeper will offer it");
    }
}
