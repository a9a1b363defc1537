//! Brings one container to a power state: reads the state, sends a request, waits for its task. Every result follows
//! from reading the state on the node where the container is now.

use std::time::Duration;

use crate::kernel::{Classify, Failure};
use crate::ports::{HypervisorError, NodeName, PowerState, Started, Task, TaskEnd, TaskFailure, TaskState};
use crate::saga::StepContext;

use super::container::{Container, ObservedContainer};
use super::deadline::Deadline;
use super::not_switched::NotSwitched;

/// How much longer than its grace a shutdown may take.
const MARGIN: Duration = Duration::from_secs(30);
/// How often a shutdown is requested when it is unknown whether the request had an effect.
const SHUTDOWN_REQUESTS: usize = 2;

/// A request that brings the container to the wanted state.
#[derive(Clone, Copy, Debug)]
pub(super) enum PowerRequest {
    Start,
    /// The workload may end on its own within this time.
    Shutdown(Duration),
    Stop,
}

/// The result of a power request. Whatever it is, the state is read before anything follows from it.
enum RequestResult {
    /// Certainly nothing was started, and the same request may succeed later.
    NotStarted { why: String, hypervisor_reached: bool },
    /// A task was started, or may have been, and no failure is known.
    MaybeStarted(String),
    /// A task was started, and failed or did not end in time.
    Failed(String),
    /// The same request would fail in the same way again.
    Refused { why: String, needs_operator: bool },
}

/// A container that is being brought to the wanted state.
pub(super) struct Switch<'a> {
    container: &'a Container<'a>,
    cx: &'a StepContext<'a>,
    wanted: PowerState,
    node: NodeName,
    /// How long a hypervisor that does not answer is still waited for.
    unreachable: Deadline,
}

impl<'a> Switch<'a> {
    /// Finds out where the container is, and checks that it is ours.
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

    /// The node where the container was observed last.
    pub(super) fn into_node(self) -> NodeName {
        self.node
    }

    /// Repeats the request until the wanted state is read or the deadline has passed.
    pub(super) async fn force(&mut self, request: PowerRequest) -> Result<(), NotSwitched> {
        let mut deadline = self.container.timings.deadline();
        loop {
            if self.is_reached().await? {
                return Ok(());
            }
            let result = self.request(request, self.container.timings.deadline()).await?;
            // A request may fail because an earlier one, whose answer was lost, has already succeeded.
            if self.is_reached().await? {
                return Ok(());
            }
            let detail = match result {
                RequestResult::NotStarted { why, .. }
                | RequestResult::MaybeStarted(why)
                | RequestResult::Failed(why) => why,
                RequestResult::Refused { why, needs_operator } => {
                    return Err(NotSwitched::Refused { detail: why, needs_operator });
                }
            };
            if !deadline.wait(self.cx).await? {
                return Err(NotSwitched::Refused { detail, needs_operator: false });
            }
        }
    }

    /// Lets the workload end on its own. False when it still runs after its grace, or cannot be asked.
    pub(super) async fn shut_down(&mut self, grace: Duration) -> Result<bool, NotSwitched> {
        let poll = self.container.timings.task_poll;
        let mut unreached = Deadline::new(poll, grace);
        // Another shutdown may be in the way.
        let mut busy = Deadline::new(poll, self.container.timings.task_timeout + grace);
        let mut requests = 0;
        loop {
            if self.is_reached().await? {
                return Ok(true);
            }
            // The task takes up to twice the grace, and holds the lock of the container until then.
            match self.request(PowerRequest::Shutdown(grace), Deadline::new(poll, grace * 2 + MARGIN)).await? {
                RequestResult::NotStarted { hypervisor_reached: false, .. } => {
                    if !unreached.wait(self.cx).await? {
                        return self.is_reached().await;
                    }
                }
                // What blocks a shutdown also blocks a stop, and the grace has not begun.
                RequestResult::NotStarted { hypervisor_reached: true, why } => {
                    if !busy.wait(self.cx).await? {
                        return Err(NotSwitched::Refused { detail: why, needs_operator: false });
                    }
                }
                RequestResult::MaybeStarted(_) => {
                    requests += 1;
                    if self.is_reached_within(grace).await? {
                        return Ok(true);
                    }
                    if requests == SHUTDOWN_REQUESTS {
                        return Ok(false);
                    }
                }
                RequestResult::Failed(_) | RequestResult::Refused { .. } => return self.is_reached().await,
            }
        }
    }

    /// Whether the container is in the wanted state; reads until there is an answer.
    pub(super) async fn is_reached(&mut self) -> Result<bool, NotSwitched> {
        let Container { hypervisor, vmid, .. } = *self.container;
        loop {
            let error = match hypervisor.power(&self.node, vmid).await {
                Ok(state @ (PowerState::Running | PowerState::Stopped)) => {
                    self.unreachable = self.container.timings.unreachable_deadline();
                    return Ok(state == self.wanted);
                }
                Ok(PowerState::Unknown) => HypervisorError::Unavailable {
                    operation: format!("read the power of {vmid} on {}", self.node),
                    detail: "the hypervisor reports no power state".to_owned(),
                },
                Err(error) => error,
            };
            match &error {
                // It may have been moved meanwhile, and a pool-scoped token gets the same answer for a container that
                // is gone.
                HypervisorError::NotFound { .. } | HypervisorError::Forbidden { .. } => {
                    self.locate().await?;
                    self.wait_while_unreachable(error).await?;
                }
                HypervisorError::Unreachable { .. } if self.was_moved().await => self.locate().await?,
                _ => self.wait_after_error(error).await?,
            }
        }
    }

    /// Whether the wanted state is read within `timeout`.
    async fn is_reached_within(&mut self, timeout: Duration) -> Result<bool, NotSwitched> {
        let mut deadline = Deadline::new(self.container.timings.task_poll, timeout);
        loop {
            if self.is_reached().await? {
                return Ok(true);
            }
            if !deadline.wait(self.cx).await? {
                return Ok(false);
            }
        }
    }

    /// Finds the node of the container, and checks that the container is ours.
    async fn locate(&mut self) -> Result<(), NotSwitched> {
        loop {
            match self.container.observe(&self.node).await {
                Ok(ObservedContainer::Ours(_)) => return Ok(()),
                Ok(ObservedContainer::Elsewhere(other)) => self.node = other,
                Ok(ObservedContainer::Foreign) => return Err(NotSwitched::Foreign),
                Ok(ObservedContainer::Absent) => return Err(NotSwitched::Gone),
                Ok(ObservedContainer::Hidden) => {
                    let error = self.container.unavailable(&self.node, "our token may not see what has its VMID");
                    self.wait_after_error(error).await?;
                }
                Err(HypervisorError::Unreachable { .. }) if self.was_moved().await => {}
                Err(error) => self.wait_after_error(error).await?,
            }
        }
    }

    /// Whether the cluster lists the container on another node by now, as after the recovery of a dead node.
    async fn was_moved(&mut self) -> bool {
        let Ok(listed) = self.container.hypervisor.containers().await else { return false };
        let found = listed.into_iter().find(|listed| listed.vmid == self.container.vmid && listed.node != self.node);
        found.map(|listed| self.node = listed.node).is_some()
    }

    /// Waits after an error before the next read, unless an operator has to act.
    async fn wait_after_error(&mut self, error: HypervisorError) -> Result<(), NotSwitched> {
        match error.failure() {
            Failure::NeedsOperator => Err(NotSwitched::Refused { detail: error.to_string(), needs_operator: true }),
            Failure::Transient | Failure::Busy | Failure::Ambiguous | Failure::Permanent => {
                self.wait_while_unreachable(error).await
            }
        }
    }

    /// Waits after an error, until the hypervisor has not answered for too long.
    async fn wait_while_unreachable(&mut self, error: HypervisorError) -> Result<(), NotSwitched> {
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

    /// Sends one request, and waits for its task until `deadline`.
    async fn request(&mut self, request: PowerRequest, deadline: Deadline) -> Result<RequestResult, NotSwitched> {
        let Container { hypervisor, vmid, failpoints, .. } = *self.container;
        let begun = match request {
            PowerRequest::Start => hypervisor.start(&self.node, vmid).await,
            PowerRequest::Shutdown(grace) => {
                let seconds = u32::try_from(grace.as_secs()).unwrap_or(u32::MAX).max(1);
                hypervisor.shutdown(&self.node, vmid, seconds).await
            }
            PowerRequest::Stop => hypervisor.stop(&self.node, vmid).await,
        };
        let task = match begun {
            Ok(Started::Task(task)) => task,
            Ok(Started::AlreadyThere) => {
                return Ok(RequestResult::NotStarted {
                    why: "it is not in the wanted state yet".to_owned(),
                    hypervisor_reached: true,
                });
            }
            Err(error) => return Ok(refused(&error)),
        };
        failpoints.hit("power.accepted").await;
        Ok(match self.end_of(&task, deadline).await? {
            Some(TaskEnd::Succeeded | TaskEnd::Warned(_)) => {
                RequestResult::MaybeStarted("the task ended without the wanted state".to_owned())
            }
            Some(TaskEnd::Unknown { message }) => RequestResult::MaybeStarted(message),
            // It was moved before the task began; the next read finds it.
            Some(TaskEnd::Failed { cause: TaskFailure::Missing, message }) => {
                RequestResult::NotStarted { why: message, hypervisor_reached: true }
            }
            Some(TaskEnd::Failed { cause, message }) => match cause.failure() {
                Failure::Transient | Failure::Busy => {
                    RequestResult::NotStarted { why: message, hypervisor_reached: true }
                }
                Failure::Ambiguous => RequestResult::MaybeStarted(message),
                Failure::Permanent | Failure::NeedsOperator => {
                    RequestResult::Refused { why: message, needs_operator: false }
                }
            },
            None => RequestResult::Failed("the task did not end in time".to_owned()),
        })
    }

    /// How a task ended; `None` when it did not end before the deadline. A task whose state cannot be read may still
    /// have succeeded, so the state of the container is read too.
    async fn end_of(&mut self, task: &Task, mut deadline: Deadline) -> Result<Option<TaskEnd>, NotSwitched> {
        loop {
            match self.container.hypervisor.task(task).await {
                Ok(TaskState::Ended(end)) => return Ok(Some(end)),
                Ok(TaskState::Running) => {}
                Err(error) => {
                    if self.is_reached().await? {
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

/// What a refused request means.
fn refused(error: &HypervisorError) -> RequestResult {
    let why = error.to_string();
    match error.failure() {
        Failure::Transient => {
            RequestResult::NotStarted { why, hypervisor_reached: !matches!(error, HypervisorError::Unreachable { .. }) }
        }
        Failure::Busy => RequestResult::NotStarted { why, hypervisor_reached: true },
        Failure::Ambiguous => RequestResult::MaybeStarted(why),
        // The container was moved; the next read finds it.
        Failure::Permanent if matches!(error, HypervisorError::NotFound { .. }) => {
            RequestResult::NotStarted { why, hypervisor_reached: true }
        }
        Failure::Permanent => RequestResult::Refused { why, needs_operator: false },
        Failure::NeedsOperator => RequestResult::Refused { why, needs_operator: true },
    }
}
