//! The job of a teardown: six steps forward, nothing is undone.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sea_orm::DatabaseConnection;

use crate::containers::ContainerTimings;
use crate::edge::Targets;
use crate::jobs::{JobContext, JobEnd};
use crate::kernel::Clock;
use crate::operations::{ForwardJob, run_forward};
use crate::ports::Hypervisor;

use super::payload::TeardownPayload;
use super::steps::{State, Work, steps};

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

/// What a run does besides waiting for the hypervisor: minutes at each target of the edge, and its turn behind other work on
/// the server, such as a stop.
const BESIDES: Duration = Duration::from_secs(4 * 3600);

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
impl ForwardJob for TeardownJob {
    type Work = TeardownPayload;
    type State = State;

    fn deadline(&self) -> Duration {
        // Switched off and destroyed.
        self.deps.timings.longest_change() * 2 + BESIDES
    }

    async fn run(&self, cx: &JobContext, payload: TeardownPayload, state: State) -> JobEnd {
        let work = Work { deps: &self.deps, cx, payload };
        run_forward(cx, &self.deps.clock, &steps(), &work, state).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::payload::STEP_COUNT;
    use super::*;

    #[test]
    fn progress_counts_every_step() {
        assert_eq!(steps().len(), STEP_COUNT);
    }
}
