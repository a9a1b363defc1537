//! The background tasks of a role, each with a failpoint for tests.

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::background::{PassError, Report, Runner, Schedule, Task, TaskName};
use crate::jobs::Failpoints;

/// Adds `tasks` to `runner`. Before each pass of a task, the failpoint `task.<name>` is reached.
pub(super) fn add_all(runner: &mut Runner, tasks: Vec<Box<dyn Task>>, failpoints: &Failpoints) {
    for task in tasks {
        let place = format!("task.{}", task.name().task);
        runner.add(Breakable { task, failpoints: failpoints.clone(), place });
    }
}

/// A task with a failpoint before each pass.
struct Breakable {
    task: Box<dyn Task>,
    failpoints: Failpoints,
    place: String,
}

#[async_trait]
impl Task for Breakable {
    fn name(&self) -> TaskName {
        self.task.name()
    }

    fn schedule(&self) -> Schedule {
        self.task.schedule()
    }

    async fn pass(&mut self, stop: &CancellationToken) -> Result<Report, PassError> {
        self.failpoints.hit(&self.place).await;
        self.task.pass(stop).await
    }
}
