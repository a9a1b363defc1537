//! Destroys a container that carries the right nonce, and no other (invariant S4).

use crate::kernel::{Classify, Failure, VmId};
use crate::ports::{HypervisorError, NodeName, Started, TaskEnd};
use crate::saga::{StepContext, Stopped};

use super::container::{Container, ObservedContainer};
use super::deadline::{Deadline, is_retryable};

/// What was found under the VMID at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destroyed {
    /// No container in the whole cluster.
    Gone,
    /// Something without our nonce; it was not touched.
    Foreign,
    /// Ours was destroyed, and its VMID has something else already.
    Replaced,
}

/// Why a container was not destroyed.
#[derive(Clone, Debug)]
pub enum NotDestroyed {
    /// It is, or may be, still there; this is the last error.
    Remains(HypervisorError),
    /// The step was asked to stop while it waited.
    Stopped(Stopped),
}

impl From<HypervisorError> for NotDestroyed {
    fn from(error: HypervisorError) -> Self {
        Self::Remains(error)
    }
}

impl From<Stopped> for NotDestroyed {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

impl Container<'_> {
    /// Destroys the container if it carries our nonce, and returns what was found under its VMID at the end. While
    /// `template` is being cloned on the node, an absent container may still appear, so this waits for the clone to
    /// end. The caller has made sure that no server uses the container.
    pub async fn destroy(
        &self,
        cx: &StepContext<'_>,
        node: &NodeName,
        template: Option<VmId>,
    ) -> Result<Destroyed, NotDestroyed> {
        let vmid = self.vmid;
        let mut node = node.clone();
        let mut deadline = self.timings.deadline();
        let mut absent: Option<Deadline> = None;
        // Whether a request to destroy it may have been executed.
        let mut requested = false;
        loop {
            let attempt = match self.observe(&node).await {
                Ok(ObservedContainer::Foreign) if requested => return Ok(Destroyed::Replaced),
                Ok(ObservedContainer::Foreign) => return Ok(Destroyed::Foreign),
                Ok(ObservedContainer::Hidden) => {
                    Err(self.unavailable(&node, "our token may not see what has its VMID"))
                }
                Ok(ObservedContainer::Elsewhere(other)) => {
                    node = other;
                    continue;
                }
                Ok(ObservedContainer::Absent) => {
                    let cloning = match template {
                        Some(template) => self.hypervisor.clone_is_running(&node, template).await,
                        None => Ok(false),
                    };
                    let window = || Deadline::new(self.timings.task_poll, self.timings.absence);
                    // A request in transit could still create it: absence counts only after a while.
                    match cloning {
                        Ok(false) if absent.get_or_insert_with(window).wait(cx).await? => Ok(()),
                        Ok(false) => return Ok(Destroyed::Gone),
                        Ok(true) => Err(HypervisorError::Unavailable {
                            operation: format!("destroy {vmid}"),
                            detail: "its template is still being cloned".to_owned(),
                        }),
                        Err(error) => Err(error),
                    }
                }
                Ok(ObservedContainer::Ours(config)) => match config.lock {
                    Some(lock) => Err(HypervisorError::Locked { operation: format!("destroy {vmid}"), lock }),
                    None => match self.stop_and_destroy(cx, &node, &mut requested).await {
                        Ok(()) => Ok(()),
                        Err(NotDestroyed::Remains(error)) => Err(error),
                        Err(NotDestroyed::Stopped(stopped)) => return Err(stopped.into()),
                    },
                },
                Err(error) => Err(error),
            };
            if let Err(error) = attempt {
                tracing::debug!(%vmid, %error, "{vmid} could not be destroyed yet");
                let settled_by_looking = error.failure() == Failure::Ambiguous;
                if !settled_by_looking && !is_retryable(error.failure()) {
                    return Err(NotDestroyed::Remains(error));
                }
                if !deadline.wait(cx).await? {
                    return Err(NotDestroyed::Remains(error));
                }
            }
        }
    }

    /// One attempt; the caller observes the container again, whatever the result.
    /// `requested` becomes true once the container may have been destroyed.
    async fn stop_and_destroy(
        &self,
        cx: &StepContext<'_>,
        node: &NodeName,
        requested: &mut bool,
    ) -> Result<(), NotDestroyed> {
        let vmid = self.vmid;
        match self.hypervisor.stop(node, vmid).await? {
            Started::Task(task) => drop(self.wait_for(cx, &task).await?),
            Started::AlreadyThere => {}
        }
        // Stopping takes a while, and the container may have been replaced by another one meanwhile.
        match self.observe(node).await? {
            ObservedContainer::Ours(_) => {}
            ObservedContainer::Foreign
            | ObservedContainer::Absent
            | ObservedContainer::Hidden
            | ObservedContainer::Elsewhere(_) => return Ok(()),
        }
        let begun = self.hypervisor.destroy(node, vmid).await;
        *requested |= begun.as_ref().map_or_else(|error| error.failure() == Failure::Ambiguous, |_| true);
        let task = begun?;
        self.failpoints.hit("destroy.accepted").await;
        let detail = match self.wait_for(cx, &task).await? {
            Some(TaskEnd::Succeeded | TaskEnd::Warned(_)) => return Ok(()),
            Some(TaskEnd::Failed { message, .. } | TaskEnd::Unknown { message }) => message,
            None => "the task did not end in time".to_owned(),
        };
        Err(HypervisorError::Unavailable { operation: format!("destroy {vmid} on {node}"), detail }.into())
    }
}
