//! The commands of operators: migrations, operations, queues, leases and users.

use clap::Subcommand;

use super::values::one_of;
use crate::db::entities::debt::DebtState;
use crate::db::entities::operation::OperationState;
use crate::db::entities::user::Role;
use crate::jobs::Queue;
use crate::kernel::{DebtId, OperationId};

/// The examples of `zpack ops`.
pub(super) const OPS_EXAMPLES: &str = "\
Examples:
  zpack ops list --state failed --limit 10   the last ten that failed
  zpack ops show op_01a2...                  its steps and debts
  zpack ops debts                            what still has to be removed
  zpack ops release debt_01a2... --reason \"removed manually\"";

/// The examples of `zpack queue`.
pub(super) const QUEUE_EXAMPLES: &str = "\
Examples:
  zpack queue list             the length of each queue, and its workers
  zpack queue pause provision  no new servers until `queue resume provision`
  zpack queue dead             operations that wait for an operator";

/// The examples of `zpack user`.
pub(super) const USER_EXAMPLES: &str = "\
Examples:
  zpack user create --email alice@example.com
  zpack user create --email root@example.com --role admin
  zpack user set-role alice@example.com admin";

/// What to do with the schema of the database.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum MigrateCommand {
    /// Run the pending migrations; processes that do so at the same time take turns.
    Up,
    /// List the migrations and when each was run.
    Status,
    /// Compare the tables with what this zpack expects.
    ///
    /// Exits with 1 when this zpack cannot work with them.
    Check,
}

/// What to do with operations.
#[derive(Debug, Subcommand)]
pub enum OpsCommand {
    /// List operations, newest first.
    List {
        /// Only operations in this state.
        #[arg(long, value_parser = one_of(OperationState::ALL, OperationState::as_str))]
        state: Option<OperationState>,
        /// Only operations that wait for an operator or are still being undone.
        #[arg(long)]
        unsettled: bool,
        /// How many at most, from 1 to 1000.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1000))]
        limit: u64,
    },
    /// Show one operation with its steps and debts.
    Show {
        /// Id of the operation (`op_...`).
        id: OperationId,
    },
    /// Abandon an operation that is queued, or whose undo cannot be finished.
    ///
    /// Nothing runs or undoes it any more. What it may have left outside stays listed as a debt. A running operation
    /// cannot be abandoned: cancel it first.
    Abandon {
        /// Id of the operation (`op_...`).
        id: OperationId,
        /// The reason, for the audit log.
        #[arg(long)]
        reason: Option<String>,
    },
    /// List debts (things left outside that have to be removed), oldest first.
    Debts {
        /// Only debts in this state.
        #[arg(long, default_value_t = DebtState::Open, value_parser = one_of(DebtState::ALL, DebtState::as_str))]
        state: DebtState,
        /// How many at most, from 1 to 1000.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1000))]
        limit: u64,
    },
    /// Close debts without removing anything (removed manually, or kept on purpose).
    ///
    /// With the last open debt of a deleted server its VMID, host name and port are free again.
    Release {
        /// Ids of the debts (`debt_...`).
        #[arg(required = true, value_name = "ID")]
        ids: Vec<DebtId>,
        /// The reason, for the audit log.
        #[arg(long)]
        reason: String,
    },
}

/// What to do with queues.
#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// List the queues: how much waits, since when, and the workers.
    List,
    /// Show one queue and the operations that wait or run in it.
    Show {
        /// Name of the queue.
        #[arg(value_parser = one_of(Queue::ALL, Queue::as_str))]
        queue: Queue,
    },
    /// List dead operations (no worker will start or undo them again).
    Dead {
        /// Only operations of this queue.
        #[arg(value_parser = one_of(Queue::ALL, Queue::as_str))]
        queue: Option<Queue>,
    },
    /// Requeue an operation now, or retry a held undo.
    Requeue {
        /// Id of the operation (`op_...`).
        id: OperationId,
    },
    /// Stop claims; running operations continue.
    Pause {
        /// Name of the queue.
        #[arg(value_parser = one_of(Queue::ALL, Queue::as_str))]
        queue: Queue,
    },
    /// Allow claims again.
    Resume {
        /// Name of the queue.
        #[arg(value_parser = one_of(Queue::ALL, Queue::as_str))]
        queue: Queue,
    },
}

/// What to do with leases.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum LeaseCommand {
    /// Show the leader of each lease, the age of its heartbeat, and whether Redis agrees.
    Show,
    /// Stand for election and write a line to the audit log at every tick; for tests of failover, not in production.
    #[command(hide = true)]
    Campaign {
        /// Milliseconds from one tick to the next.
        #[arg(long, default_value_t = 1000)]
        tick_ms: u64,
        /// Let every term have a task that blocks its thread for ever.
        #[arg(long)]
        stuck: bool,
    },
}

/// What to do with users.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Create a user.
    ///
    /// Without `--password-stdin` a password is generated and printed once.
    Create {
        /// Email address.
        #[arg(long)]
        email: String,
        /// Name; by default the part of the address before the `@`.
        #[arg(long)]
        username: Option<String>,
        /// Role of the user.
        #[arg(long, default_value_t = Role::Customer, value_parser = one_of(Role::ALL, Role::as_str))]
        role: Role,
        /// Read the password from the first line of standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// List the users.
    List,
    /// Change the role of a user, from the next request on.
    SetRole {
        /// Email address or name.
        user: String,
        /// The new role.
        #[arg(value_parser = one_of(Role::ALL, Role::as_str))]
        role: Role,
    },
}
