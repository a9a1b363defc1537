//! The job of a teardown: steps forward, nothing is undone.

use std::time::Duration;

use async_trait::async_trait;

use crate::jobs::{JobContext, JobEnd};
use crate::operations::{ForwardJob, run_forward};

use super::deps::TeardownDeps;
use super::payload::TeardownPayload;
use super::run::{State, TeardownRun};
use super::steps::steps;

/// What a run does besides waiting for the hypervisor: minutes at each edge target, and the wait for other work on the
/// server, such as a stop.
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
        let run = TeardownRun { deps: &self.deps, cx, payload };
        run_forward(cx, &self.deps.clock, &steps(), &run, state).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::payload::step_count;
    use super::*;

    #[test]
    fn progress_counts_every_step() {
        assert_eq!(steps().len(), step_count());
    }
}
