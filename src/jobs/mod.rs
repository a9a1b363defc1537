//! The job runtime shared by all workers: rows in SQL are the truth, ids in Redis lists hand the work out.
//!
//! An operation is enqueued by its row; [`Lists::ring`] only makes it start sooner. A worker receives an id, wins the
//! row by one compare-and-set that bumps its fence ([`claim()`]), renews its lease from a thread no job can starve, and
//! every later write carries the fence. Two safety nets run in every worker: the sweeper offers due rows again and
//! recovers those whose owner vanished (load-bearing), the reaper empties lists of dead workers (a speed-up).
//! The algorithm and its invariants are those of jobs.md section 2. [`lifecycle`] holds its rules as pure functions; the
//! model checked in `model/` runs on them, and `tests/stores/lifecycle.rs` compares them with the SQL.
//!
//! Not here: what an operation is for (`operations`), how its work is cut into steps (`saga`), what a job does
//! (`provision` and its siblings). Knows no feature: jobs are registered by kind.

mod acks;
mod claim;
mod context;
mod depth;
mod failpoint;
mod finish;
mod handle;
mod inflight;
mod intake;
mod job;
pub mod lifecycle;
mod lists;
pub mod locks;
#[cfg(test)]
mod model;
mod queue;
mod reaper;
mod receiver;
mod recover;
mod renewer;
mod requirements;
mod settings;
mod slots;
mod status;
mod sweeper;
mod worker;

use crate::kernel::boottime;

pub use claim::{ClaimOutcome, ClaimPurpose, Claimed, claim};
pub use context::{JobContext, Lost, guard, renew};
pub use depth::Depth;
pub use failpoint::Failpoints;
pub use finish::{End, finish, footprint, hand_back};
pub use intake::{Handled, Handler, Intake};
pub use job::{CrashPolicy, Job, JobEnd, JobFailure, Leftover, Registry, UnwindEnd};
pub use lists::Lists;
pub use queue::Queue;
pub use reaper::reap;
pub use recover::recover_expired;
pub use requirements::{RedisMemory, RequirementError, check_redis, redis_memory};
pub use settings::JobSettings;
pub use slots::{ensure_slots, is_paused, set_paused};
pub use status::{Ended, QueueStatus, ended_since, is_dead, queue_statuses};
pub use sweeper::{Sweep, sweep};
pub use worker::{Worker, WorkerDeps, WorkerError};
