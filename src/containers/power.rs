//! Switching a container on and off. What it is afterwards is read back, never taken for granted.

use std::time::Duration;

use crate::kernel::{Classify, Failure};
use crate::ports::{HypervisorError, NodeName, PowerState, Started, TaskEnd};
use crate::saga::{StepContext, Stopped};

use super::container::{Container, Sighting};
use super::patience::{Patience, may_pass};

/// Why a container is not as it should be.
#[derive(Clone, Debug)]
pub enum NotSwitched {
    /// There is no such container anywhere in the cluster.
    Gone,
    /// The number belongs to a container of somebody else.
    Foreign,
    /// The hypervisor did not do it in time, or refused.
    Refused {
        /// The last of its words.
        detail: String,
        /// Whether a person is needed.
        needs_operator: bool,
    },
    /// The step was told to stop while it waited.
    Stopped(Stopped),
}

impl From<Stopped> for NotSwitched {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

/// How a container is brought to the wanted state.
#[derive(Clone, Copy, Debug)]
enum Push {
    Start,
    /// It may end by itself within this time.
    Shutdown(Duration),
    Stop,
}

impl Container<'_> {
    /// Switches it on, and answers where it runs.
    pub async fn switch_on(&self, cx: &StepContext<'_>, node: &NodeName) -> Result<NodeName, NotSwitched> {
        self.bring(cx, node, PowerState::Running, &[Push::Start]).await
    }

    /// Switches it off: gently within `grace`, then at once. Answers where it was.
    pub async fn switch_off(
        &self,
        cx: &StepContext<'_>,
        node: &NodeName,
        grace: Duration,
    ) -> Result<NodeName, NotSwitched> {
        self.bring(cx, node, PowerState::Stopped, &[Push::Shutdown(grace), Push::Stop]).await
    }

    /// Pushes until the wanted state is read, the last push again and again while patience lasts.
    async fn bring(
        &self,
        cx: &StepContext<'_>,
        node: &NodeName,
        wanted: PowerState,
        pushes: &[Push],
    ) -> Result<NodeName, NotSwitched> {
        let mut patience = self.timings.patience();
        let mut node = self.find(cx, node, &mut patience).await?;
        let mut next = pushes.iter().copied();
        let mut push = next.next();
        let mut why = "it is not in the wanted state yet".to_owned();
        loop {
            match self.hypervisor.power(&node, self.vmid).await {
                Ok(state) if state == wanted => return Ok(node),
                Ok(_) => {
                    if let Some(this) = push {
                        match self.push(cx, &node, this).await? {
                            Ok(()) => {}
                            Err(detail) => why = detail,
                        }
                        // What did not do is followed by what is harder.
                        push = next.next().or(Some(this));
                    }
                    if let Ok(state) = self.hypervisor.power(&node, self.vmid).await
                        && state == wanted
                    {
                        return Ok(node);
                    }
                }
                // It may have been moved meanwhile.
                Err(HypervisorError::NotFound { .. } | HypervisorError::Forbidden { .. }) => {
                    node = self.find(cx, &node, &mut patience).await?;
                }
                Err(error) => why = error.to_string(),
            }
            if !patience.again(cx).await? {
                return Err(NotSwitched::Refused { detail: why, needs_operator: false });
            }
        }
    }

    /// Where the container is, after it was seen to be the right one.
    async fn find(
        &self,
        cx: &StepContext<'_>,
        node: &NodeName,
        patience: &mut Patience,
    ) -> Result<NodeName, NotSwitched> {
        let mut node = node.clone();
        loop {
            let error = match self.look(&node).await {
                Ok(Sighting::Ours(_)) => return Ok(node),
                Ok(Sighting::Elsewhere(other)) => {
                    node = other;
                    continue;
                }
                Ok(Sighting::Foreign) => return Err(NotSwitched::Foreign),
                Ok(Sighting::Absent) => return Err(NotSwitched::Gone),
                Err(error) => error,
            };
            let needs_operator = error.failure() == Failure::NeedsOperator;
            if needs_operator || !patience.again(cx).await? {
                return Err(NotSwitched::Refused { detail: error.to_string(), needs_operator });
            }
        }
    }

    /// One push. The inner error is a reason that may pass; whatever comes of it, the caller reads the state.
    async fn push(&self, cx: &StepContext<'_>, node: &NodeName, push: Push) -> Result<Result<(), String>, NotSwitched> {
        let vmid = self.vmid;
        let begun = match push {
            Push::Start => self.hypervisor.start(node, vmid).await,
            Push::Shutdown(grace) => {
                let seconds = u32::try_from(grace.as_secs()).unwrap_or(u32::MAX).max(1);
                self.hypervisor.shutdown(node, vmid, seconds).await
            }
            Push::Stop => self.hypervisor.stop(node, vmid).await,
        };
        match begun {
            Ok(Started::AlreadyThere) => Ok(Ok(())),
            Ok(Started::Task(task)) => {
                self.failpoints.hit("power.accepted").await;
                match self.wait_for(cx, &task).await? {
                    Some(TaskEnd::Succeeded | TaskEnd::Warned(_)) => Ok(Ok(())),
                    Some(TaskEnd::Failed { failure, message }) => {
                        // A container that does not end by itself is no refusal.
                        let last = !matches!(push, Push::Shutdown(_)) && !may_pass(failure);
                        match last {
                            true => Err(NotSwitched::Refused { detail: message, needs_operator: false }),
                            false => Ok(Err(message)),
                        }
                    }
                    Some(TaskEnd::Unknown { message }) => Ok(Err(message)),
                    None => Ok(Err("the task did not end in time".to_owned())),
                }
            }
            Err(error) => match error.failure() {
                Failure::Transient | Failure::Busy | Failure::Ambiguous => Ok(Err(error.to_string())),
                Failure::Permanent if matches!(error, HypervisorError::NotFound { .. }) => Ok(Err(error.to_string())),
                class @ (Failure::Permanent | Failure::NeedsOperator) => Err(NotSwitched::Refused {
                    detail: error.to_string(),
                    needs_operator: class == Failure::NeedsOperator,
                }),
            },
        }
    }
}
