//! What a worker does with one received id: claim, run or unwind, write the end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::db;
use crate::db::entities::operation::OperationState;
use crate::jobs::deps::WorkerDeps;
use crate::jobs::end::End;
use crate::jobs::job::UnwindEnd;
use crate::jobs::lifecycle::ClaimPurpose;
use crate::jobs::lists::intake::{Handled, Handler};
use crate::jobs::rows::claim::{ClaimOutcome, Claimed, claim};
use crate::jobs::rows::finish::finish;
use crate::jobs::rows::slots;
use crate::kernel::OperationId;
use crate::kernel::boottime::since_boot;
use crate::telemetry::{ClaimMiss, Purpose, Refusal, RunEnd};

use super::context::JobContext;
use super::inflight::InFlight;
use super::logged;

/// Claims received ids in SQL and runs what they name.
pub(super) struct Claims {
    pub(super) deps: Arc<WorkerDeps>,
    pub(super) inflight: InFlight,
    /// Fires when the worker stops.
    pub(super) draining: CancellationToken,
}

impl Handler for Claims {
    async fn handle(&self, id: OperationId) -> Handled {
        let deps = &self.deps;
        deps.failpoints.hit("received").await;
        let sent = since_boot();
        let claiming = claim(&deps.db, deps.lane.queue, id, deps.lane.worker, &deps.registry, &deps.settings);
        match db::in_time(claiming).await {
            Ok(ClaimOutcome::Claimed(claimed)) => {
                deps.failpoints.hit("claimed").await;
                deps.lane.metrics.claimed(match claimed.purpose {
                    ClaimPurpose::Run => Purpose::Run,
                    ClaimPurpose::Unwind => Purpose::Unwind,
                });
                let cx = self.context(&claimed, sent);
                let end = work(deps, &claimed, &cx).await;
                self.inflight.disown(id);
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
                Handled::Trouble
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
            Handled::Trouble => db::in_time(deps.db.ping()).await.is_ok() && attempt > 0,
        }
    }
}

impl Claims {
    /// Takes over an operation whose claim was sent at `sent` since boot.
    fn context(&self, claimed: &Claimed, sent: Duration) -> JobContext {
        let operation = claimed.operation.clone();
        let owned = self.inflight.own(operation.id, operation.fence, sent);
        if operation.cancel_requested {
            owned.cancelled.cancel();
        }
        JobContext {
            server: Arc::new(Mutex::new(operation.vmid)),
            operation,
            db: self.deps.db.clone(),
            lost: owned.lost,
            cancelled: owned.cancelled,
            draining: self.draining.clone(),
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
    let end = match claimed.purpose {
        ClaimPurpose::Run => End::of_run(job.run(cx).await),
        ClaimPurpose::Unwind => Some(End::Unwound(job.unwind(cx).await)),
    };
    let Some(end) = end else {
        tracing::warn!(operation.id = %operation.id, "lost {}: another worker goes on with it", operation.id);
        deps.lane.metrics.refused(Refusal::Run);
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
        End::Again { .. } => RunEnd::Again,
    }
}

/// Writes the end, and keeps trying while the lease lives: a database that is away for a moment costs nothing. Returns
/// whether it is written.
async fn write(deps: &WorkerDeps, claimed: &Claimed, end: &End, cx: &JobContext) -> bool {
    let id = claimed.operation.id;
    match cx.persist("end", || finish(&deps.db, claimed, end, deps.clock.now())).await {
        Ok(Ok(Ok(()))) => {
            logged::ended(claimed, end, deps.clock.now());
            return true;
        }
        Ok(Ok(Err(_))) => {
            tracing::warn!(operation.id = %id, "could not end {id}: another owner took over");
            deps.lane.metrics.refused(Refusal::End);
        }
        Ok(Err(error)) => tracing::error!(operation.id = %id, %error, "the end of {id} cannot be written"),
        Err(_) => tracing::warn!(operation.id = %id, "could not end {id} while its lease lived"),
    }
    false
}
