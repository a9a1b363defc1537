//! What a feature gives to the runtime: its jobs, by kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::db::entities::debt::DebtKind;
use crate::db::entities::operation;
use crate::kernel::VmId;

use super::run::context::JobContext;

/// What happens to an operation whose owner vanished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPolicy {
    /// Its steps are safe to repeat: it is queued again.
    Resume,
    /// Queued again while no step reached outside; after that it becomes stale and is undone, never repeated.
    UnwindOutsideEffects,
}

/// Something an operation may have left in the outside world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// What it is.
    pub kind: DebtKind,
    /// The number of the container.
    pub vmid: Option<VmId>,
    /// Where it was last known.
    pub node: Option<String>,
    /// What and why, in words.
    pub detail: String,
}

/// Why an operation failed, for its row and for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFailure {
    /// A code, snake_case.
    pub code: String,
    /// The reason in words.
    pub message: String,
    /// The step that failed.
    pub phase: Option<String>,
}

impl JobFailure {
    /// What is stored of the operation cannot be read, so that nothing was done.
    pub fn unreadable(what: &str, error: &serde_json::Error) -> Self {
        let message = format!("{what} of the operation cannot be read: {error}");
        Self { code: "unreadable_operation".to_owned(), message, phase: None }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEnd {
    /// It did what was asked.
    Succeeded,
    /// It could not.
    Failed {
        /// Why.
        failure: JobFailure,
        /// Whether its effects are gone.
        undo: UnwindEnd,
    },
    /// The user stopped it between two steps.
    Cancelled {
        /// Whether its effects are gone.
        undo: UnwindEnd,
    },
    /// It stopped at a clean boundary because the worker is stopping; another goes on there.
    HandedBack,
    /// Another owner took over, or the lease ran out: nothing may be written any more.
    Lost,
}

/// How undoing ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnwindEnd {
    /// There was nothing to undo outside.
    Nothing,
    /// Everything is undone.
    Complete,
    /// Something is still there; it is tried again later.
    Incomplete {
        /// What, in words.
        reason: String,
        /// What it is.
        leftovers: Vec<Leftover>,
    },
    /// The worker stops or was fenced out: another owner goes on.
    Interrupted,
}

/// One kind of work.
#[async_trait]
pub trait Job: Send + Sync {
    /// The kind of operation it runs.
    fn kind(&self) -> &'static str;

    /// The newest payload version it understands, counted from 1.
    fn schema_version(&self) -> i32;

    /// What happens when its owner vanishes.
    fn crash_policy(&self) -> CrashPolicy;

    /// What `operation` may have left in the outside world, judged by its row alone.
    fn leftovers(&self, operation: &operation::Model) -> Vec<Leftover>;

    /// Does the work.
    async fn run(&self, cx: &JobContext) -> JobEnd;

    /// Removes what an interrupted run left. Safe to repeat.
    async fn unwind(&self, cx: &JobContext) -> UnwindEnd;
}

/// The jobs a worker can run.
#[derive(Clone, Default)]
pub struct Registry {
    jobs: BTreeMap<&'static str, Arc<dyn Job>>,
}

impl Registry {
    /// Adds `job` under its kind.
    #[must_use]
    pub fn with(mut self, job: Arc<dyn Job>) -> Self {
        self.jobs.insert(job.kind(), job);
        self
    }

    /// The job for `kind`, if this worker knows that payload version of it.
    pub fn find(&self, kind: &str, schema_version: i32) -> Option<Arc<dyn Job>> {
        self.jobs.get(kind).filter(|job| (1..=job.schema_version()).contains(&schema_version)).cloned()
    }

    /// Every kind with the newest payload version known.
    pub fn kinds(&self) -> impl Iterator<Item = (&'static str, i32)> + '_ {
        self.jobs.values().map(|job| (job.kind(), job.schema_version()))
    }
}
