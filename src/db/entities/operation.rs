//! One durable operation: the row a job is claimed from and a user polls.

use sea_orm::entity::prelude::*;

use crate::kernel::{OperationId, Timestamp, UserId, VmId, text_enum};

text_enum! {
    /// The state of an operation (docs/contracts/http-api.md 1).
    pub enum OperationState {
        /// Accepted, waiting for a worker.
        Queued = "queued",
        /// A worker owns it.
        Running = "running",
        /// Its work is done.
        Succeeded = "succeeded",
        /// It failed; its effects were undone or are recorded as debts.
        Failed = "failed",
        /// It was cancelled.
        Cancelled = "cancelled",
        /// Its worker vanished after an external effect; it is never started again.
        Stale = "stale",
    }
}

impl OperationState {
    /// States that end an operation.
    pub const ENDED: &'static [Self] = &[Self::Succeeded, Self::Failed, Self::Cancelled, Self::Stale];

    /// Whether this is an end state.
    pub const fn is_ended(self) -> bool {
        match self {
            Self::Queued | Self::Running => false,
            Self::Succeeded | Self::Failed | Self::Cancelled | Self::Stale => true,
        }
    }
}

text_enum! {
    /// Whether the effects of an interrupted run have to be undone.
    pub enum UndoState {
        /// Nothing to undo.
        None = "none",
        /// A worker has to undo it.
        Due = "due",
        /// A worker is undoing it.
        Running = "running",
        /// Undone.
        Done = "done",
        /// The undo failed too often and waits for an operator.
        Held = "held",
    }
}

text_enum! {
    /// The state of the debts of an operation (docs/contracts/http-api.md 1).
    pub enum Cleanup {
        /// It has none.
        None = "none",
        /// Debts are open; a worker settles them.
        Pending = "pending",
        /// All debts are closed.
        Done = "done",
        /// Debts are open; an operator has to act.
        Required = "required",
    }
}

text_enum! {
    /// Who begins operations, and who asks to cancel them.
    pub enum Actor {
        /// A user without the role admin.
        Customer = "customer",
        /// A person who runs zpack.
        Operator = "operator",
        /// Another part of the company's system, by the internal token.
        Internal = "internal",
        /// Billing.
        Billing = "billing",
        /// Another part of zpack. Also operations of releases that did not record the actor.
        System = "system",
    }
}

text_enum! {
    /// When an operation may be cancelled.
    pub enum CancelRule {
        /// Until it ends; its effects are undone.
        Anytime = "anytime",
        /// Until it is first started; after that it runs to its end.
        BeforeStart = "before_start",
    }
}

/// One durable operation: the row a job is claimed from and a user polls.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "operations")]
pub struct Model {
    /// Its id, also the nonce of its external effects.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: OperationId,
    /// Its kind, for example `provision`.
    pub kind: String,
    /// Its queue.
    pub queue: String,
    /// Version of `payload`.
    pub schema_version: i32,
    /// The payload for the job, as JSON, at most 60 000 bytes.
    pub payload: String,
    /// The request as shown to the user, as JSON; `None` for operations of releases that did not record it.
    pub request: Option<String>,
    /// Who began it.
    pub begun_by: Actor,
    /// When it may be cancelled.
    pub cancel_rule: CancelRule,
    /// Its state.
    pub state: OperationState,
    /// The step that is running or was last done.
    pub phase: Option<String>,
    /// Whether effects of an interrupted run have to be undone.
    pub unwind: UndoState,
    /// The state of its debts.
    pub cleanup: Cleanup,
    /// The earliest start, by the clock of the database.
    pub run_after: Timestamp,
    /// The fence, raised by every claim; writes of an older owner change nothing.
    pub fence: i64,
    /// When the lease of the owner expires.
    pub lease_until: Option<Timestamp>,
    /// The process that owns it.
    pub worker: Option<String>,
    /// When its owner claimed it; `None` without an owner.
    pub claimed_at: Option<Timestamp>,
    /// The number of its starts.
    pub starts: i32,
    /// The number of owners that vanished.
    pub crashes: i32,
    /// The maximum number of starts.
    pub max_starts: i32,
    /// When its id was last put on the ready list.
    pub offered_at: Option<Timestamp>,
    /// The number of offers since the last claim.
    pub offer_count: i32,
    /// Whether it was asked to stop at the next step boundary.
    pub cancel_requested: bool,
    /// Whether its result belongs to the customer: it is continued after a crash and never undone.
    pub committed: bool,
    /// The deduplication key: at most one unfinished operation has it.
    pub dedup_key: Option<String>,
    /// The customer it belongs to.
    pub user_id: Option<UserId>,
    /// The VMID of its server, once known.
    pub vmid: Option<VmId>,
    /// The number of its steps, 0 while unknown.
    pub step_count: i32,
    /// The state of the saga after its last finished step, as JSON.
    pub saga_state: Option<String>,
    /// The error code, if it failed.
    pub error_code: Option<String>,
    /// The error message, if it failed.
    pub error_message: Option<String>,
    /// The step that failed.
    pub error_phase: Option<String>,
    /// The last heartbeat of its owner.
    pub heartbeat_at: Option<Timestamp>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it was first started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The number of its last progress event.
    pub event_seq: i32,
    /// When its owner asked not to see its failure any more.
    pub dismissed_at: Option<Timestamp>,
}

/// No relations: queries join by hand where they need it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
