//! The job runtime of all workers: rows in SQL are the source of truth, lists in Redis distribute their ids.
//!
//! An operation is accepted by its row; [`Lists::offer_new`] only makes it start sooner. A worker receives an id,
//! claims the row by one compare-and-set that raises its fence ([`claim()`]), and renews its lease from a thread that
//! no job can starve. Every later write of the owner has to match the fence. Two loops run in every worker: the
//! sweeper, on which correctness depends, offers due rows and recovers operations whose owner vanished; the reaper, an
//! optimisation, empties the lists of dead workers. docs/contracts/jobs.md 2 describes the algorithm and its
//! invariants. [`lifecycle`] holds its rules as pure functions: the model in `model/` is checked with them, and
//! `tests/stores/lifecycle.rs` compares them with the SQL.
//!
//! Elsewhere: acceptance of operations (`operations`), steps (`saga`), the jobs themselves (`provision` and others).
//! This module knows no feature: jobs are registered by kind.

mod deadlines;
mod deps;
mod end;
mod failpoint;
mod job;
mod lane;
pub mod lifecycle;
mod lists;
#[cfg(test)]
mod model;
mod queue;
mod registry;
mod rows;
mod run;
mod settings;
mod work;

pub use self::deadlines::{ClaimPurpose, Deadlines};
pub use self::deps::WorkerDeps;
pub use self::end::End;
pub use self::failpoint::Failpoints;
pub use self::job::{CrashPolicy, Job, JobEnd, JobFailure, NewDebt, UndoEnd};
pub use self::lane::Lane;
pub use self::lists::commands::Lists;
pub use self::lists::depth::Depth;
pub use self::lists::intake::{Handled, Handler, Intake};
pub use self::lists::reaper::reap;
pub use self::lists::requirements::{RedisMemory, RequirementError, check_redis, redis_memory};
pub use self::queue::Queue;
pub use self::registry::{Registry, RegistryError};
pub use self::rows::claim::{ClaimOutcome, Claimed, claim, readable};
pub use self::rows::finish::{finish, footprint};
pub use self::rows::listing::{dead_operations, latest_operations, unfinished_operations, unsettled_operations};
pub use self::rows::locks;
pub use self::rows::owner::{LeaseLost, OwnedTransaction, OwnerError, renew};
pub use self::rows::recover::recover_expired;
pub use self::rows::settle::end_panicked;
pub use self::rows::slots::{ensure_slots, is_paused, set_paused};
pub use self::rows::status::{EndedCounts, QueueStatus, busy_servers, ended_since, queue_statuses, unreadable_rows};
pub use self::rows::sweeper::{SweepScope, sweep};
pub use self::run::context::JobContext;
pub use self::run::renewer::Connect;
pub use self::run::worker::{Worker, WorkerError};
pub use self::settings::JobSettings;
pub use self::work::{Dedup, Work, WorkSpec};
