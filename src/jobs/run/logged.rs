//! The log lines of an operation: one when a worker begins it, and one when the worker has written the end.

use crate::db::entities::operation::{self, OperationState};
use crate::jobs::ClaimPurpose;
use crate::jobs::end::End;
use crate::jobs::job::{JobFailure, UndoEnd};
use crate::jobs::lifecycle::Recovery;
use crate::jobs::rows::claim::Claimed;
use crate::kernel::{Timestamp, short_span};
use crate::telemetry::Panicked;

/// Logs that a worker has claimed the operation and begins.
pub(super) fn began(claimed: &Claimed) {
    let row = &claimed.operation;
    let (id, kind, vmid, subject) = (row.id, row.kind.as_str(), number(row), subject(row));
    match claimed.purpose {
        ClaimPurpose::Run => tracing::info!(operation.id = %id, operation.kind = kind, vmid, "began {id}: {subject}"),
        ClaimPurpose::Undo => {
            tracing::info!(operation.id = %id, operation.kind = kind, vmid, "began to undo {id}: {subject}");
        }
    }
}

/// Logs that a worker has written `end` at `now`.
pub(super) fn ended(claimed: &Claimed, end: &End, now: Timestamp) {
    let row = &claimed.operation;
    let (id, kind, vmid, subject) = (row.id, row.kind.as_str(), number(row), subject(row));
    let took = now.since(row.created_at);
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let took = short_span(took);
    match end {
        End::Ended { state: state @ OperationState::Failed, failure: Some(failure), .. } => {
            let JobFailure { code, message, phase } = failure;
            let place = phase.as_deref().map(|phase| format!(" at {phase}")).unwrap_or_default();
            tracing::warn!(
                operation.id = %id, operation.kind = kind, vmid, %state, duration_ms, error.code = code,
                "ended {id}: {subject} failed{place} after {took}: {message}"
            );
        }
        End::Ended { state, .. } => tracing::info!(
            operation.id = %id, operation.kind = kind, vmid, %state, duration_ms,
            "ended {id}: {subject} {state} after {took}"
        ),
        End::Undone(UndoEnd::Nothing | UndoEnd::Complete) => {
            tracing::info!(operation.id = %id, operation.kind = kind, vmid, "undid {id}: {subject}");
        }
        End::Undone(UndoEnd::Incomplete { .. }) => {}
        End::Undone(UndoEnd::Interrupted) | End::HandedBack => {
            tracing::info!(operation.id = %id, operation.kind = kind, vmid, "handed back {id}: {subject}");
        }
        End::Again { after } => {
            let after = short_span(*after);
            tracing::info!(operation.id = %id, operation.kind = kind, vmid, "{id} runs again in {after}: {subject}");
        }
    }
    if let End::Undone(UndoEnd::Incomplete { reason, .. })
    | End::Ended { undo: UndoEnd::Incomplete { reason, .. }, .. } = end
    {
        tracing::warn!(operation.id = %id, operation.kind = kind, vmid, "{id} left a debt: {reason}");
    }
}

/// Logs that the job of an operation panicked. The text is only for the log, because it may quote data of customers.
pub(super) fn panicked(claimed: &Claimed, panicked: &Panicked) {
    let row = &claimed.operation;
    let (id, kind, vmid, subject) = (row.id, row.kind.as_str(), number(row), subject(row));
    let place = panicked.place.as_deref();
    tracing::error!(
        operation.id = %id, operation.kind = kind, vmid, place,
        "the job of {id} panicked: {subject}: {}", panicked.message
    );
}

/// Logs that a worker has ended an operation whose job panicked.
pub(super) fn settled(claimed: &Claimed, recovery: Recovery) {
    let row = &claimed.operation;
    let (id, kind, vmid, subject) = (row.id, row.kind.as_str(), number(row), subject(row));
    let outcome = match recovery {
        Recovery::Fail => "failed",
        Recovery::FailAndUndo => "failed and is being undone",
        Recovery::Stale => "is stale; its effects are being undone",
        Recovery::UndoAgain => "will be undone again later",
        Recovery::Hold => "is held for an operator",
        Recovery::Requeue => "is queued again",
    };
    tracing::warn!(operation.id = %id, operation.kind = kind, vmid, "ended {id}: {subject} {outcome}");
}

/// The kind and the server: `power of 5000`, or only the kind while the VMID is not known.
fn subject(row: &operation::Model) -> String {
    row.vmid.map_or_else(|| row.kind.clone(), |vmid| format!("{} of {vmid}", row.kind))
}

fn number(row: &operation::Model) -> Option<i32> {
    row.vmid.map(|vmid| vmid.get())
}
