//! Operations, steps and debts in the detail that operators see, such as worker, lease and undo.

use serde::Serialize;
use serde_json::Value;

use crate::db::entities::debt::{self, DebtKind, DebtState};
use crate::db::entities::operation::{self, Actor, Cleanup, OperationState, UndoState};
use crate::db::entities::operation_step::{self, StepStatus};
use crate::kernel::{DebtId, OperationId, Timestamp, UserId, VmId};
use crate::operations::shown_request;
use crate::roles::output::{age, or_dash};

/// How much of a request fits in a table.
const REQUEST_WIDTH: usize = 40;

/// One operation.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::roles) struct OperationDetails {
    pub(in crate::roles) id: OperationId,
    pub(in crate::roles) kind: String,
    pub(in crate::roles) queue: String,
    pub(in crate::roles) status: OperationState,
    pub(in crate::roles) phase: Option<String>,
    pub(in crate::roles) unwind: UndoState,
    pub(in crate::roles) cleanup: Cleanup,
    pub(in crate::roles) vmid: Option<VmId>,
    pub(in crate::roles) request: Value,
    pub(in crate::roles) begun_by: Actor,
    pub(in crate::roles) user_id: Option<UserId>,
    pub(in crate::roles) worker: Option<String>,
    pub(in crate::roles) lease_until: Option<Timestamp>,
    pub(in crate::roles) heartbeat_at: Option<Timestamp>,
    pub(in crate::roles) starts: i32,
    pub(in crate::roles) crashes: i32,
    pub(in crate::roles) run_after: Timestamp,
    pub(in crate::roles) cancel_requested: bool,
    pub(in crate::roles) error: Option<ErrorDetails>,
    pub(in crate::roles) created_at: Timestamp,
    pub(in crate::roles) started_at: Option<Timestamp>,
    pub(in crate::roles) finished_at: Option<Timestamp>,
}

/// Why an operation failed.
#[derive(Clone, Debug, Serialize)]
pub(in crate::roles) struct ErrorDetails {
    code: String,
    message: Option<String>,
    phase: Option<String>,
}

impl From<operation::Model> for OperationDetails {
    fn from(row: operation::Model) -> Self {
        let request = shown_request(&row);
        let (message, phase) = (row.error_message, row.error_phase);
        Self {
            id: row.id,
            kind: row.kind,
            queue: row.queue,
            status: row.state,
            phase: row.phase,
            unwind: row.unwind,
            cleanup: row.cleanup,
            vmid: row.vmid,
            request,
            begun_by: row.begun_by,
            user_id: row.user_id,
            worker: row.worker,
            lease_until: row.lease_until,
            heartbeat_at: row.heartbeat_at,
            starts: row.starts,
            crashes: row.crashes,
            run_after: row.run_after,
            cancel_requested: row.cancel_requested,
            error: row.error_code.map(|code| ErrorDetails { code, message, phase }),
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
        }
    }
}

impl OperationDetails {
    /// The request in short: the values of its fields, such as `stop` or `game minecraft paper 1.21.1`.
    pub(super) fn request_in_short(&self) -> String {
        let word = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
        };
        let words: Vec<String> =
            self.request.as_object().into_iter().flat_map(|fields| fields.values()).filter_map(word).collect();
        let short: String = words.join(" ").chars().take(REQUEST_WIDTH).collect();
        or_dash(Some(short).filter(|short| !short.is_empty()))
    }

    /// One fact per line.
    pub(super) fn details(&self, now: Timestamp) -> String {
        let mut lines = vec![
            format!("operation  {}", self.id),
            format!("kind       {} (queue {})", self.kind, self.queue),
            format!("status     {}{}", self.status, if self.cancel_requested { ", cancel requested" } else { "" }),
            format!("phase      {}", or_dash(self.phase.as_deref())),
            format!("undo       {}, cleanup {}", self.unwind, self.cleanup),
            format!("vmid       {}", or_dash(self.vmid)),
            format!("request    {}", self.request),
            format!("user       {}, begun by {}", or_dash(self.user_id), self.begun_by),
            format!("starts     {}, crashes {}", self.starts, self.crashes),
            format!("created    {} ({} ago)", self.created_at, age(now, self.created_at)),
        ];
        if let Some(worker) = &self.worker {
            lines.push(format!("worker     {worker}, lease until {}", or_dash(self.lease_until)));
        }
        if let Some(at) = self.finished_at {
            lines.push(format!("finished   {at}"));
        }
        if let Some(error) = &self.error {
            let at = error.phase.as_ref().map(|phase| format!(" in {phase}")).unwrap_or_default();
            lines.push(format!("error      {}{at}: {}", error.code, or_dash(error.message.as_deref())));
        }
        lines.join("\n")
    }
}

/// One step.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StepDetails {
    pub(super) name: String,
    pub(super) status: StepStatus,
    pub(super) outside: bool,
    pub(super) started_at: Timestamp,
    pub(super) finished_at: Option<Timestamp>,
    pub(super) detail: Option<String>,
}

impl From<operation_step::Model> for StepDetails {
    fn from(row: operation_step::Model) -> Self {
        let operation_step::Model { name, status, outside, started_at, finished_at, detail, .. } = row;
        Self { name, status, outside, started_at, finished_at, detail }
    }
}

/// One debt.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DebtDetails {
    pub(super) id: DebtId,
    pub(super) kind: DebtKind,
    pub(super) vmid: Option<VmId>,
    pub(super) node: Option<String>,
    pub(super) state: DebtState,
    pub(super) detail: String,
    pub(super) attempts: i32,
    pub(super) last_error: Option<String>,
    pub(super) next_attempt_at: Option<Timestamp>,
    pub(super) created_at: Timestamp,
}

impl From<debt::Model> for DebtDetails {
    fn from(row: debt::Model) -> Self {
        let debt::Model {
            id, kind, vmid, node, state, detail, attempts, last_error, next_attempt_at, created_at, ..
        } = row;
        Self { id, kind, vmid, node, state, detail, attempts, last_error, next_attempt_at, created_at }
    }
}
