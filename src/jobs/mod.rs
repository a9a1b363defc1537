//! The job runtime shared by all workers: rows in SQL are the truth, ids in Redis lists hand the work out.
//!
//! An operation is enqueued by its row; [`Lists::ring`] only makes it start sooner. A worker receives an id, wins the
//! row by one compare-and-set that bumps its fence ([`claim()`]), renews its lease from a thread no job can starve, and
//! every later write carries the fence. Two safety nets run in every worker: the sweeper offers due rows again and
//! recovers those whose owner vanished (load-bearing), the reaper empties lists of dead workers (a speed-up).
//! The algorithm and its invariants are those of docs/contracts/jobs.md 2. [`lifecycle`] holds its rules as pure
//! functions; the model checked in `model/` runs on them, and `tests/stores/lifecycle.rs` compares them with the SQL.
//!
//! Not here: what an operation is for (`operations`), how its work is cut into steps (`saga`), what a job does
//! (`provision` and its siblings). Knows no feature: jobs are registered by kind.

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
pub use self::job::{CrashPolicy, Job, JobEnd, JobFailure, Leftover, UnwindEnd};
pub use self::lane::Lane;
pub use self::lists::commands::Lists;
pub use self::lists::depth::Depth;
pub use self::lists::intake::{Handled, Handler, Intake};
pub use self::lists::reaper::reap;
pub use self::lists::requirements::{RedisMemory, RequirementError, check_redis, redis_memory};
pub use self::queue::Queue;
pub use self::registry::{Registry, RegistryError};
pub use self::rows::claim::{ClaimOutcome, Claimed, claim};
pub use self::rows::finish::{finish, footprint, hand_back};
pub use self::rows::locks;
pub use self::rows::owner::{Lost, OwnedTransaction, OwnerError, guard, renew};
pub use self::rows::recover::recover_expired;
pub use self::rows::settle::end_panicked;
pub use self::rows::slots::{ensure_slots, is_paused, set_paused};
pub use self::rows::status::{Ended, QueueStatus, ended_since, is_dead, queue_statuses};
pub use self::rows::sweeper::{Sweep, sweep};
pub use self::run::context::JobContext;
pub use self::run::renewer::Connect;
pub use self::run::worker::{Worker, WorkerError};
pub use self::settings::JobSettings;
pub use self::work::{Dedup, Work, WorkSpec};
