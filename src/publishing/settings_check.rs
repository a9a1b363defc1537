//! Checks at start, and every hour, that the settings of each target are right: that its credentials are accepted, and that the
//! zone is ours. What is wrong is logged once; publications meanwhile fail at that target only.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::targets::Targets;
use crate::background::{PassError, Report, Schedule, Task, TaskName};
use crate::edge::EdgeError;
use crate::kernel::{Classify, Failure};

/// How often the targets are checked.
const INTERVAL: Duration = Duration::from_secs(3600);
/// How long one target may take.
const TARGET_TIMEOUT: Duration = Duration::from_secs(10);

/// Checks the settings of all targets.
pub struct SettingsCheck {
    /// The targets, for work in the background.
    pub targets: Targets,
}

#[async_trait]
impl Task for SettingsCheck {
    fn name(&self) -> TaskName {
        TaskName::of("edge-settings-check")
    }

    fn schedule(&self) -> Schedule {
        Schedule::every(INTERVAL)
    }

    async fn pass(&mut self, stop: &CancellationToken) -> Result<Report, PassError> {
        let checks = self.targets.iter().map(|target| tokio::time::timeout(TARGET_TIMEOUT, target.check()));
        let Some(checked) = stop.run_until_cancelled(join_all(checks)).await else { return Ok(Report::default()) };
        // A target that does not answer is reported by the work that needs it.
        let wrong = |error: &EdgeError| error.failure() == Failure::NeedsOperator;
        let count = checked.len();
        let found: Vec<String> = checked
            .into_iter()
            .filter_map(|outcome| outcome.ok()?.err())
            .filter(wrong)
            .map(|error| error.to_string())
            .collect();
        if found.is_empty() { Ok(Report::done(count)) } else { Err(PassError::of(found.join("; "))) }
    }
}
