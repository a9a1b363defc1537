//! An operation as its owner sees it (docs/contracts/http-api.md 1).

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::db::entities::debt::{self, DebtState};
use crate::db::entities::operation::{self, Actor, Cleanup, OperationState};
use crate::db::entities::operation_step::{self, StepStatus};
use crate::kernel::{OperationId, Timestamp};

use super::policy::{CancelFacts, CancelOutcome, may_cancel};
use super::sentence::{customer_sentence, debt_sentence};

/// An operation.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: OperationId,
    /// What it does, for example `provision`.
    pub kind: String,
    /// `queued`, `running`, `succeeded`, `failed`, `cancelled` or `stale`.
    #[schema(value_type = String)]
    pub status: OperationState,
    /// The step that is running or was last done.
    pub phase: Option<String>,
    /// Its progress.
    pub progress: Progress,
    /// Its steps so far, in order.
    pub steps: Vec<StepView>,
    /// The server it concerns, once known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_id: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<OperationFailure>,
    /// Its debts.
    pub cleanup: CleanupView,
    /// Whether the caller may cancel it, and cancelling can still change anything.
    pub cancellable: bool,
    /// The last heartbeat of its worker.
    #[schema(value_type = Option<String>)]
    pub heartbeat_at: Option<Timestamp>,
    /// When it was accepted.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// When it was first started.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// The request it carries out.
    #[schema(value_type = Object)]
    pub request: Value,
}

/// The progress of an operation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Progress {
    /// Steps done.
    pub step: u32,
    /// Steps in all, 0 while unknown.
    pub of: u32,
    /// Steps done in percent.
    pub percent: u8,
}

/// One step of an operation.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepView {
    /// Its name.
    pub name: String,
    /// `started`, `done`, `failed`, `undone` or `undo_failed`.
    #[schema(value_type = String)]
    pub status: StepStatus,
    /// When it was last started.
    #[schema(value_type = String)]
    pub started_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>)]
    pub finished_at: Option<Timestamp>,
    /// What happened; for operators only, because it names nodes and quotes peers.
    pub detail: Option<String>,
}

/// Why an operation failed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OperationFailure {
    /// A code, snake_case.
    pub code: String,
    /// The reason: a sentence for customers, the whole message for operators.
    pub message: String,
    /// The step that failed.
    pub phase: Option<String>,
}

/// The debts of an operation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CleanupView {
    /// `none`, `pending`, `done` or `required`.
    #[schema(value_type = String)]
    pub state: Cleanup,
    /// The debts, open and closed.
    pub items: Vec<CleanupItem>,
}

/// A debt of an operation.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CleanupItem {
    /// What it is.
    pub kind: String,
    /// The server it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_id: Option<String>,
    /// `open`, `settled` or `released`.
    #[schema(value_type = String)]
    pub state: DebtState,
    /// What it is, and why it remains.
    pub detail: String,
}

/// The answer to a request that began an operation.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// Always true.
    pub ok: bool,
    /// The operation.
    #[schema(value_type = String)]
    pub operation_id: OperationId,
    /// Where to poll its state.
    pub status_url: String,
    /// The operation as it is now.
    pub operation: OperationView,
}

impl Accepted {
    /// The answer for `operation`.
    pub fn new(operation: OperationView) -> Self {
        Self { ok: true, operation_id: operation.id, status_url: status_url(operation.id), operation }
    }
}

/// Where an operation is shown.
pub fn status_url(id: OperationId) -> String {
    format!("/api/operations/{id}")
}

impl OperationView {
    /// The view of `row`, with its steps and debts, for `viewer`.
    pub fn new(
        row: operation::Model,
        steps: Vec<operation_step::Model>,
        debts: Vec<debt::Model>,
        viewer: Actor,
    ) -> Self {
        let done = steps.iter().filter(|step| step.status == StepStatus::Done).count();
        let cancelled = may_cancel(viewer, CancelFacts::of(&row));
        let cancellable =
            !row.cancel_requested && matches!(cancelled, CancelOutcome::Cancelled | CancelOutcome::Requested);
        let request = shown_request(&row);
        Self {
            id: row.id,
            kind: row.kind,
            status: row.state,
            phase: row.phase,
            progress: progress(row.state, done, row.step_count),
            steps: steps.into_iter().map(|step| StepView::new(step, viewer)).collect(),
            server_id: row.vmid.map(|vmid| vmid.to_string()),
            error: row.error_code.map(|code| OperationFailure {
                message: shown_reason(viewer, &code, row.error_message),
                code,
                phase: row.error_phase,
            }),
            cleanup: CleanupView {
                state: row.cleanup,
                items: debts.into_iter().map(|debt| CleanupItem::new(debt, viewer)).collect(),
            },
            cancellable,
            heartbeat_at: row.heartbeat_at,
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            request,
        }
    }
}

/// Whether `viewer` may read what peers answered and where things are.
pub const fn reads_details(viewer: Actor) -> bool {
    match viewer {
        Actor::Operator => true,
        Actor::Customer | Actor::Internal | Actor::Billing | Actor::System => false,
    }
}

/// Why an operation failed with `code`, for `viewer`.
pub fn shown_reason(viewer: Actor, code: &str, message: Option<String>) -> String {
    if reads_details(viewer) { message.unwrap_or_default() } else { customer_sentence(code).to_owned() }
}

/// The request as its owner may see it. Provisions of releases that did not store it have it in their payload.
pub fn shown_request(row: &operation::Model) -> Value {
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    match &row.request {
        Some(request) => read(request),
        None => read(&row.payload).get_mut("request").map(Value::take).unwrap_or_default(),
    }
}

pub(super) fn progress(state: OperationState, done: usize, of: i32) -> Progress {
    let of = u32::try_from(of).unwrap_or(0);
    let step = u32::try_from(done).unwrap_or(u32::MAX).min(of);
    let percent = match (state, of) {
        (OperationState::Succeeded, _) => 100,
        (_, 0) => 0,
        _ => u8::try_from(step * 100 / of).unwrap_or(100),
    };
    Progress { step, of, percent }
}

impl StepView {
    fn new(row: operation_step::Model, viewer: Actor) -> Self {
        Self {
            name: row.name,
            status: row.status,
            started_at: row.started_at,
            finished_at: row.finished_at,
            detail: row.detail.filter(|_| reads_details(viewer)),
        }
    }
}

impl CleanupItem {
    fn new(row: debt::Model, viewer: Actor) -> Self {
        let detail = if reads_details(viewer) { row.detail } else { debt_sentence(row.kind).to_owned() };
        Self { kind: row.kind.to_string(), server_id: row.vmid.map(|vmid| vmid.to_string()), state: row.state, detail }
    }
}
