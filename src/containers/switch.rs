//! Bringing one container to a power state: reading the state, pushing, waiting for the tasks. Every way out passes a
//! reading, and every reading is from where the container is now.

use std::time::Duration;

use crate::kernel::{Classify, Failure};
use crate::ports::{HypervisorError, NodeName, PowerState, Started, Task, TaskEnd, TaskState};
use crate::saga::StepContext;

use super::container::{Container, ObservedContainer};
use super::deadline::Deadline;
use super::not_switched::NotSwitched;

/// What a shutdown may take beside the time it was given.
const MARGIN: Duration = Duration::from_secs(30);
/// How often a container is asked to end when nobody knows whether it was.
const ASKS: usize = 2;

/// How a container is brought to the wanted state.
#[derive(Clone, Copy, Debug)]
pub(super) enum Push {
    Start,
    /// It may end by itself within this time.
    Shutdown(Duration),
    Stop,
}

/// What came of a push. Whatever it was, the state is read before anything follows from it.
enum Came {
    /// Surely nothing was begun, and the same push may do later.
    Nothing { why: String, reached: bool },
    /// It was begun, or perhaps it was, and nobody says that it failed.
    Perhaps(String),
    /// It was begun, and failed or did not end in time.
    Failed(String),
    /// The same push fails the same way again.
    Refused { why: String, needs_operator: bool },
}

/// A container on its way to the wanted state.
pub(super) struct Switch<'a> {
    container: &'a Container<'a>,
    cx: &'a StepContext<'a>,
    wanted: PowerState,
    node: NodeName,
    /// What is left of the patience with a hypervisor that does not say how things are.
    unreachable: Deadline,
}

impl<'a> Switch<'a> {
    /// Begins with finding out where the container is, and that it is ours.
    pub(super) async fn find(
        container: &'a Container<'a>,
        cx: &'a StepContext<'a>,
        node: &NodeName,
        wanted: PowerState,
    ) -> Result<Self, NotSwitched> {
        let unreachable = container.timings.unreachable_deadline();
        let mut switch = Self { container, cx, wanted, node: node.clone(), unreachable };
        switch.locate().await?;
        Ok(switch)
    }

    /// Where the container was seen last.
    pub(super) fn into_node(self) -> NodeName {
        self.node
    }

    /// Pushes until the wanted state is read, again and again while patience lasts.
    pub(super) async fn force(&mut self, push: Push) -> Result<(), NotSwitched> {
        let mut deadline = self.container.timings.deadline();
        loop {
            if self.is_there().await? {
                return Ok(());
            }
            let came = self.push(push, self.container.timings.deadline()).await?;
            // A push may fail because another one, whose answer was lost, has done its work.
            if self.is_there().await? {
                return Ok(());
            }
            let detail = match came {
                Came::Nothing { why, .. } | Came::Perhaps(why) | Came::Failed(why) => why,
                Came::Refused { why, needs_operator } => {
                    return Err(NotSwitched::Refused { detail: why, needs_operator });
                }
            };
            if !deadline.wait(self.cx).await? {
                return Err(NotSwitched::Refused { detail, needs_operator: false });
            }
        }
    }

    /// Lets the container end by itself. False when it still runs and has had its time, or cannot be asked.
    pub(super) async fn shut_down(&mut self, grace: Duration) -> Result<bool, NotSwitched> {
        let poll = self.container.timings.task_poll;
        let mut unreached = Deadline::new(poll, grace);
        // Perhaps it is another shutdown that is in the way.
        let mut busy = Deadline::new(poll, self.container.timings.task_timeout + grace);
        let mut asks = 0;
        loop {
            if self.is_there().await? {
                return Ok(true);
            }
            // The task takes up to twice the grace, and keeps every other away from the container until then.
            match self.push(Push::Shutdown(grace), Deadline::new(poll, grace * 2 + MARGIN)).await? {
                Came::Nothing { reached: false, .. } => {
                    if !unreached.wait(self.cx).await? {
                        return self.is_there().await;
                    }
                }
                // What is in the way of a shutdown is in the way of a stop too, and the grace has not begun.
                Came::Nothing { reached: true, why } => {
                    if !busy.wait(self.cx).await? {
                        return Err(NotSwitched::Refused { detail: why, needs_operator: false });
                    }
                }
                Came::Perhaps(_) => {
                    asks += 1;
                    if self.is_there_within(grace).await? {
                        return Ok(true);
                    }
                    if asks == ASKS {
                        return Ok(false);
                    }
                }
                Came::Failed(_) | Came::Refused { .. } => return self.is_there().await,
            }
        }
    }

    /// Whether the container is in the wanted state, asked until somebody says so.
    pub(super) async fn is_there(&mut self) -> Result<bool, NotSwitched> {
        let Container { hypervisor, vmid, .. } = *self.container;
        loop {
            let error = match hypervisor.power(&self.node, vmid).await {
                Ok(state @ (PowerState::Running | PowerState::Stopped)) => {
                    self.unreachable = self.container.timings.unreachable_deadline();
                    return Ok(state == self.wanted);
                }
                Ok(PowerState::Unknown) => HypervisorError::Unavailable {
                    operation: format!("read the power of {vmid} on {}", self.node),
                    detail: "the hypervisor does not know it".to_owned(),
                },
                Err(error) => error,
            };
            match &error {
                // It may have been moved meanwhile. What a token may not see may be gone.
                HypervisorError::NotFound { .. } | HypervisorError::Forbidden { .. } => {
                    self.locate().await?;
                    self.pause(error).await?;
                }
                HypervisorError::Unreachable { .. } if self.was_moved().await => self.locate().await?,
                _ => self.endure(error).await?,
            }
        }
    }

    /// Whether the wanted state is read within `span`.
    async fn is_there_within(&mut self, span: Duration) -> Result<bool, NotSwitched> {
        let mut deadline = Deadline::new(self.container.timings.task_poll, span);
        loop {
            if self.is_there().await? {
                return Ok(true);
            }
            if !deadline.wait(self.cx).await? {
                return Ok(false);
            }
        }
    }

    /// Finds out where the container is, and sees that it is the right one.
    async fn locate(&mut self) -> Result<(), NotSwitched> {
        loop {
            match self.container.observe(&self.node).await {
                Ok(ObservedContainer::Ours(_)) => return Ok(()),
                Ok(ObservedContainer::Elsewhere(other)) => self.node = other,
                Ok(ObservedContainer::Foreign) => return Err(NotSwitched::Foreign),
                Ok(ObservedContainer::Absent) => return Err(NotSwitched::Gone),
                Err(HypervisorError::Unreachable { .. }) if self.was_moved().await => {}
                Err(error) => self.endure(error).await?,
            }
        }
    }

    /// Whether the cluster has the container on another node by now, as it does when it recovers what was on a dead one.
    async fn was_moved(&mut self) -> bool {
        let Ok(listed) = self.container.hypervisor.containers().await else { return false };
        let found = listed.into_iter().find(|listed| listed.vmid == self.container.vmid && listed.node != self.node);
        found.map(|listed| self.node = listed.node).is_some()
    }

    /// Waits after an error before the same is asked again, unless that is useless.
    async fn endure(&mut self, error: HypervisorError) -> Result<(), NotSwitched> {
        match error.failure() {
            Failure::NeedsOperator => Err(NotSwitched::Refused { detail: error.to_string(), needs_operator: true }),
            Failure::Transient | Failure::Busy | Failure::Ambiguous | Failure::Permanent => self.pause(error).await,
        }
    }

    /// Waits after an error, as long as the silence has not lasted too long.
    async fn pause(&mut self, error: HypervisorError) -> Result<(), NotSwitched> {
        if self.unreachable.wait(self.cx).await? {
            return Ok(());
        }
        let detail = error.to_string();
        Err(match error {
            HypervisorError::Unreachable { .. } | HypervisorError::Unavailable { .. } => {
                NotSwitched::Away { node: self.node.clone(), detail }
            }
            _ => NotSwitched::Refused { detail, needs_operator: false },
        })
    }

    /// One push; its task is waited for with `patience`.
    async fn push(&mut self, push: Push, deadline: Deadline) -> Result<Came, NotSwitched> {
        let Container { hypervisor, vmid, failpoints, .. } = *self.container;
        let begun = match push {
            Push::Start => hypervisor.start(&self.node, vmid).await,
            Push::Shutdown(grace) => {
                let seconds = u32::try_from(grace.as_secs()).unwrap_or(u32::MAX).max(1);
                hypervisor.shutdown(&self.node, vmid, seconds).await
            }
            Push::Stop => hypervisor.stop(&self.node, vmid).await,
        };
        let task = match begun {
            Ok(Started::Task(task)) => task,
            Ok(Started::AlreadyThere) => {
                return Ok(Came::Nothing { why: "it is not in the wanted state yet".to_owned(), reached: true });
            }
            Err(error) => return Ok(not_begun(&error)),
        };
        failpoints.hit("power.accepted").await;
        Ok(match self.end_of(&task, deadline).await? {
            Some(TaskEnd::Succeeded | TaskEnd::Warned(_)) => {
                Came::Perhaps("the task ended without the wanted state".to_owned())
            }
            Some(TaskEnd::Unknown { message }) => Came::Perhaps(message),
            Some(TaskEnd::Failed { failure, message }) => match failure {
                Failure::Transient | Failure::Busy => Came::Nothing { why: message, reached: true },
                Failure::Ambiguous => Came::Perhaps(message),
                Failure::Permanent | Failure::NeedsOperator => Came::Refused { why: message, needs_operator: false },
            },
            None => Came::Failed("the task did not end in time".to_owned()),
        })
    }

    /// How a task ended; `None` when it has not. One that cannot be asked for may all the same have done its work.
    async fn end_of(&mut self, task: &Task, mut deadline: Deadline) -> Result<Option<TaskEnd>, NotSwitched> {
        loop {
            match self.container.hypervisor.task(task).await {
                Ok(TaskState::Ended(end)) => return Ok(Some(end)),
                Ok(TaskState::Running) => {}
                Err(error) => {
                    if self.is_there().await? {
                        return Ok(Some(TaskEnd::Unknown { message: error.to_string() }));
                    }
                }
            }
            if !deadline.wait(self.cx).await? {
                return Ok(None);
            }
        }
    }
}

/// What a refused push means.
fn not_begun(error: &HypervisorError) -> Came {
    let why = error.to_string();
    match error.failure() {
        Failure::Transient => Came::Nothing { why, reached: !matches!(error, HypervisorError::Unreachable { .. }) },
        Failure::Busy => Came::Nothing { why, reached: true },
        Failure::Ambiguous => Came::Perhaps(why),
        // It was moved; the next reading finds it.
        Failure::Permanent if matches!(error, HypervisorError::NotFound { .. }) => Came::Nothing { why, reached: true },
        Failure::Permanent => Came::Refused { why, needs_operator: false },
        Failure::NeedsOperator => Came::Refused { why, needs_operator: true },
    }
}
