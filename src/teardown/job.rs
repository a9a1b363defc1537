//! The job of a teardown: six steps forward, nothing is undone.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sea_orm::DatabaseConnection;
use serde::{Deserialize, Serialize};

use crate::containers::ContainerTimings;
use crate::db::entities::operation;
use crate::edge::Targets;
use crate::jobs::{CrashPolicy, Job, JobContext, JobEnd, JobFailure, Leftover, UnwindEnd};
use crate::kernel::{Clock, VmId};
use crate::operations::run_forward;
use crate::ports::Hypervisor;

use super::steps::{State, Work, steps};
use super::subject::Subject;

/// The kind of these operations.
pub const TEARDOWN: &str = "teardown";

/// How many steps a teardown takes.
pub const STEP_COUNT: usize = 6;

/// The payload of a teardown, version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeardownPayload {
    /// The server.
    pub vmid: VmId,
    /// Who asked: a user id or `internal`.
    pub by: String,
    /// A container without a server; nothing for a server, whose row says what goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orphan: Option<Subject>,
}

/// What a teardown works with.
#[derive(Clone)]
pub struct TeardownDeps {
    /// The database.
    pub db: DatabaseConnection,
    /// The hypervisor.
    pub hypervisor: Arc<dyn Hypervisor>,
    /// The edge.
    pub targets: Targets,
    /// How long the hypervisor is waited for before its container becomes a debt.
    pub timings: ContainerTimings,
    /// How often the lock of the server is asked for.
    pub lock_poll: Duration,
    /// The clock of the process.
    pub clock: Clock,
}

/// Removes servers.
pub struct TeardownJob {
    deps: TeardownDeps,
}

impl TeardownJob {
    /// A job over `deps`.
    pub fn new(deps: TeardownDeps) -> Self {
        Self { deps }
    }
}

#[async_trait]
impl Job for TeardownJob {
    fn kind(&self) -> &'static str {
        TEARDOWN
    }

    fn schema_version(&self) -> i32 {
        1
    }

    fn crash_policy(&self) -> CrashPolicy {
        CrashPolicy::Resume
    }

    fn leftovers(&self, _: &operation::Model) -> Vec<Leftover> {
        // The row of the server stays until all that is left of it is on record.
        Vec::new()
    }

    async fn run(&self, cx: &JobContext) -> JobEnd {
        let unreadable = |what: &str, error| JobEnd::Failed {
            failure: JobFailure::unreadable(what, &error),
            undo: UnwindEnd::Nothing,
        };
        let payload: TeardownPayload = match serde_json::from_str(&cx.operation.payload) {
            Ok(payload) => payload,
            Err(error) => return unreadable("the payload", error),
        };
        let mut state = match cx.operation.saga_state.as_deref().map(serde_json::from_str::<State>).transpose() {
            Ok(state) => state.unwrap_or_default(),
            Err(error) => return unreadable("the state", error),
        };
        let work = Work { deps: &self.deps, cx, payload };
        run_forward(cx, &self.deps.clock, &steps(), &work, &mut state).await
    }

    async fn unwind(&self, _: &JobContext) -> UnwindEnd {
        UnwindEnd::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_counts_every_step() {
        assert_eq!(steps().len(), STEP_COUNT);
    }
}
