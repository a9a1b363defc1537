//! One durable operation: the row a job is claimed from and a user polls.

use sea_orm::entity::prelude::*;

use crate::kernel::{OperationId, Timestamp, UserId, VmId, text_enum};

text_enum! {
    /// Where an operation stands (docs/contracts/http-api.md 1).
    pub enum OperationState {
        /// Accepted, waiting for a worker.
        Queued = "queued",
        /// A worker owns it.
        Running = "running",
        /// It did what was asked.
        Succeeded = "succeeded",
        /// It could not; what it had done was undone or is listed.
        Failed = "failed",
        /// The user stopped it.
        Cancelled = "cancelled",
        /// Its worker vanished after an outside effect; it is never started again.
        Stale = "stale",
    }
}

impl OperationState {
    /// States that end an operation.
    pub const ENDED: &'static [Self] = &[Self::Succeeded, Self::Failed, Self::Cancelled, Self::Stale];

    /// Whether nothing will change the state any more.
    pub const fn is_ended(self) -> bool {
        match self {
            Self::Queued | Self::Running => false,
            Self::Succeeded | Self::Failed | Self::Cancelled | Self::Stale => true,
        }
    }
}

text_enum! {
    /// Whether the effects of an interrupted run still have to be undone.
    pub enum Unwind {
        /// Nothing to undo.
        None = "none",
        /// A worker shall undo it.
        Due = "due",
        /// A worker is undoing it.
        Running = "running",
        /// Undone.
        Done = "done",
        /// It waits for an operator.
        Held = "held",
    }
}

text_enum! {
    /// What an operation left behind in the outside world (docs/contracts/http-api.md 1).
    pub enum Cleanup {
        /// Nothing.
        None = "none",
        /// Something; a worker is removing it.
        Pending = "pending",
        /// Something was left and has been removed.
        Done = "done",
        /// Something; an operator must decide.
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
        /// Another part of zpack. Also what is not on record: operations of releases that did not write it down.
        System = "system",
    }
}

text_enum! {
    /// When an operation may be cancelled, by those who may.
    pub enum CancelRule {
        /// Until it ends: what it has done is undone.
        Anytime = "anytime",
        /// Until it is started for the first time: after that it runs to its end.
        BeforeStart = "before_start",
    }
}

/// One durable operation: the row a job is claimed from and a user polls.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "operations")]
pub struct Model {
    /// Its id, also the id of its job and the nonce of its outside effects.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: OperationId,
    /// Which job runs it, for example `provision`.
    pub kind: String,
    /// The queue that hands it out.
    pub queue: String,
    /// Version of `payload`.
    pub schema_version: i32,
    /// JSON the job reads, at most 60 000 bytes.
    pub payload: String,
    /// JSON the user is shown of what was asked for; `None` for operations of releases that did not write it down.
    pub request: Option<String>,
    /// Who began it.
    pub begun_by: Actor,
    /// When it may be cancelled.
    pub cancel_rule: CancelRule,
    /// Where it stands.
    pub state: OperationState,
    /// The step at work or last done.
    pub phase: Option<String>,
    /// Whether effects of an interrupted run still have to be undone.
    pub unwind: Unwind,
    /// What is left behind in the outside world.
    pub cleanup: Cleanup,
    /// Not to be started before, by the clock of the database.
    pub run_after: Timestamp,
    /// Counts owners; a write of an older owner changes nothing.
    pub fence: i64,
    /// Until when the owner may go without renewing.
    pub lease_until: Option<Timestamp>,
    /// The process that owns it.
    pub worker: Option<String>,
    /// When its owner claimed it; nothing while it has none.
    pub claimed_at: Option<Timestamp>,
    /// How often it was started.
    pub starts: i32,
    /// How often its owner vanished.
    pub crashes: i32,
    /// How often it may be started.
    pub max_starts: i32,
    /// When its id was last put on the ready list.
    pub offered_at: Option<Timestamp>,
    /// How often that was.
    pub offer_count: i32,
    /// The user wants it to stop at the next boundary.
    pub cancel_requested: bool,
    /// Identifies the request; one operation per key may be under way.
    pub dedup_key: Option<String>,
    /// For whom it runs.
    pub user_id: Option<UserId>,
    /// The server it is about, once known.
    pub vmid: Option<VmId>,
    /// Number of steps it will take, 0 while unknown.
    pub step_count: i32,
    /// JSON of the saga after its last finished step.
    pub saga_state: Option<String>,
    /// Why it failed, as a code.
    pub error_code: Option<String>,
    /// Why it failed, in words.
    pub error_message: Option<String>,
    /// The step that failed.
    pub error_phase: Option<String>,
    /// When its owner last renewed.
    pub heartbeat_at: Option<Timestamp>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it was first started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Number of its last progress event.
    pub event_seq: i32,
}

/// No relations: queries join by hand where they need it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
