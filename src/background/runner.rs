//! Runs the tasks of a role, and ends the role with the first of them.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::driver::Driver;
use super::ended::TaskEnded;
use super::nudge::Nudge;
use super::task::{Task, TaskName};
use crate::kernel::Clock;
use crate::telemetry::{Metrics, TaskMetrics, caught};

/// How many things one runner takes. Each costs a loop and a few series; a role has about a dozen.
pub const MOST_TASKS: usize = 64;

/// How long a pass may go on once its role stops; less than `TimeoutStopSec=` of the units.
const DRAIN: Duration = Duration::from_secs(10);

/// What a role does beside requests. Nothing begins before [`Self::run`].
pub struct Runner {
    stop: CancellationToken,
    metrics: TaskMetrics,
    clock: Clock,
    drain: Duration,
    entries: Vec<(TaskName, BoxFuture<'static, anyhow::Result<()>>)>,
    refused: Option<TaskEnded>,
}

impl Runner {
    /// A runner whose work ends when `stop` fires, and which fires `stop` when something ends before that. `clock` says
    /// when passes succeeded.
    pub fn new(stop: CancellationToken, metrics: &Metrics, clock: Clock) -> Self {
        Self { stop, metrics: metrics.tasks.clone(), clock, drain: DRAIN, entries: Vec::new(), refused: None }
    }

    /// Gives the passes of tasks added from now on another time to end once `stop` fired.
    pub fn draining(self, drain: Duration) -> Self {
        Self { drain, ..self }
    }

    /// Adds a task; what is returned asks it for a pass now.
    pub fn add(&mut self, task: impl Task) -> Nudge {
        let nudge = Nudge::default();
        let driver = Driver {
            stop: self.stop.clone(),
            nudge: nudge.clone(),
            metrics: self.metrics.clone(),
            clock: self.clock.clone(),
            drain: self.drain,
        };
        let (name, task) = (task.name(), Box::new(task) as Box<dyn Task>);
        self.enter(name, driver.drive(task).map(Ok).boxed());
        nudge
    }

    /// Adds work with a loop of its own, which ends soon after `stop` fired and never before. The runner waits for its
    /// end however long it takes: how work drains is its own affair.
    pub fn keep(&mut self, name: TaskName, work: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        self.enter(name, work.boxed());
    }

    fn enter(&mut self, task: TaskName, work: BoxFuture<'static, anyhow::Result<()>>) {
        let refused = if self.entries.iter().any(|(other, _)| *other == task) {
            TaskEnded::Twice { task }
        } else if self.entries.len() >= MOST_TASKS {
            TaskEnded::TooMany { task }
        } else {
            self.entries.push((task, work));
            return;
        };
        self.refused.get_or_insert(refused);
    }

    /// Runs everything until `stop` fires and all of it has ended. When something panics or ends before that, `stop`
    /// fires, the rest ends as it would otherwise, and the error says what ended first.
    pub async fn run(self) -> Result<(), TaskEnded> {
        let Self { stop, entries, refused, .. } = self;
        if let Some(refused) = refused {
            stop.cancel();
            return Err(refused);
        }
        let mut running = JoinSet::new();
        for (task, work) in entries {
            let stop = stop.clone();
            running.spawn(async move {
                match caught(work).await {
                    Ok(Ok(())) if stop.is_cancelled() => Ok(()),
                    Ok(Ok(())) => Err(TaskEnded::Returned { task }),
                    Ok(Err(source)) => Err(TaskEnded::Failed { task, source }),
                    Err(panicked) => Err(TaskEnded::Panicked { task, message: panicked.to_string() }),
                }
            });
        }
        let mut first = None;
        while let Some(ended) = running.join_next().await {
            // Only the end of the runtime cancels them.
            let Ok(Err(ended)) = ended else { continue };
            let stopping = stop.is_cancelled();
            stop.cancel();
            tracing::error!(error = %describe(&ended), stopping, "{}", describe(&ended));
            first.get_or_insert(ended);
        }
        // With nothing to run there is still a role that waits for its end.
        stop.cancelled().await;
        first.map_or(Ok(()), Err)
    }
}

/// The error and its causes in one line.
fn describe(ended: &TaskEnded) -> String {
    match ended {
        TaskEnded::Failed { source, .. } => format!("{ended}: {source:#}"),
        other => other.to_string(),
    }
}
