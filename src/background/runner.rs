//! Runs the tasks of a role, and ends the role when the first of them ends.

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

/// The most tasks of one runner. Each costs a loop and a few time series; a role has about a dozen.
pub const MOST_TASKS: usize = 64;

/// How long a pass may continue once its role stops; less than `TimeoutStopSec=` of the units.
const DRAIN: Duration = Duration::from_secs(10);

/// Runs the background tasks of a role. Nothing starts before [`Self::run`].
pub struct Runner {
    stop: CancellationToken,
    metrics: TaskMetrics,
    clock: Clock,
    drain: Duration,
    entries: Vec<(TaskName, BoxFuture<'static, anyhow::Result<()>>)>,
    refused: Option<TaskEnded>,
}

impl Runner {
    /// Creates a runner that ends when `stop` fires, and that fires `stop` when a task ends before that. `clock` gives
    /// the time of the last successful pass.
    pub fn new(stop: CancellationToken, metrics: &Metrics, clock: Clock) -> Self {
        Self { stop, metrics: metrics.tasks.clone(), clock, drain: DRAIN, entries: Vec::new(), refused: None }
    }

    /// Sets how long passes of tasks added from now on may continue after `stop` has fired.
    pub fn with_drain(self, drain: Duration) -> Self {
        Self { drain, ..self }
    }

    /// Adds a task. The returned [`Nudge`] requests a pass of it.
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
        self.register(name, driver.drive(task).map(Ok).boxed());
        nudge
    }

    /// Adds work that has its own loop. It must end soon after `stop` has fired, and not before. The runner waits for
    /// its end without a limit: the work itself bounds its drain.
    pub fn supervise(&mut self, name: TaskName, work: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        self.register(name, work.boxed());
    }

    fn register(&mut self, task: TaskName, work: BoxFuture<'static, anyhow::Result<()>>) {
        let refused = if self.entries.iter().any(|(other, _)| *other == task) {
            TaskEnded::DuplicateName { task }
        } else if self.entries.len() >= MOST_TASKS {
            TaskEnded::TooMany { task }
        } else {
            self.entries.push((task, work));
            return;
        };
        self.refused.get_or_insert(refused);
    }

    /// Runs all tasks until `stop` fires and all of them have ended. When one panics or ends before that, this fires
    /// `stop`, waits for the others to drain, and returns an error that names the first one.
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
            // They are cancelled only when the runtime ends.
            let Ok(Err(ended)) = ended else { continue };
            let stopping = stop.is_cancelled();
            stop.cancel();
            tracing::error!(error = %describe(&ended), stopping, "{}", describe(&ended));
            first.get_or_insert(ended);
        }
        // A role without tasks still waits to be stopped.
        stop.cancelled().await;
        first.map_or(Ok(()), Err)
    }
}

/// Formats the error and its causes in one line.
fn describe(ended: &TaskEnded) -> String {
    match ended {
        TaskEnded::Failed { source, .. } => format!("{ended}: {source:#}"),
        other => other.to_string(),
    }
}
