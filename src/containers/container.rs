//! Observes the container with a given VMID, identifies its owner, and waits for its tasks.

use std::time::Duration;

use crate::jobs::Failpoints;
use crate::kernel::{OperationId, VmId};
use crate::ports::{ContainerConfig, Hypervisor, HypervisorError, NodeName, Task, TaskEnd, TaskState, Whereabouts};
use crate::saga::{StepContext, Stopped};

use super::deadline::Deadline;
use super::nonce::names;

/// How long to wait for the hypervisor. `zpack dev` scales these with the simulated world.
#[derive(Clone, Copy, Debug)]
pub struct ContainerTimings {
    /// Between two reads of a task's state; grows to five times this.
    pub task_poll: Duration,
    /// For a task to end, and for a busy or unreachable hypervisor to become available.
    pub task_timeout: Duration,
    /// For a hypervisor or a node that does not answer while a server is switched on or off.
    pub away: Duration,
    /// How long a container must stay absent after a lost answer before it counts as not created.
    pub absence: Duration,
}

impl ContainerTimings {
    /// The longest time that one change of a container takes if every wait runs to its end: attempts begin until
    /// `task_timeout` is over, and the last one takes as long again for its request and once more for its task.
    pub fn longest_change(&self) -> Duration {
        self.task_timeout * 3 + self.away + self.absence
    }

    /// The usual deadline for the hypervisor, from now on.
    pub fn deadline(&self) -> Deadline {
        Deadline::new(self.task_poll, self.task_timeout)
    }

    /// The deadline for a hypervisor that does not answer, from now on.
    pub fn unreachable_deadline(&self) -> Deadline {
        Deadline::new(self.task_poll, self.away)
    }
}

/// One of our containers, and what is needed to work on it.
#[derive(Clone, Copy)]
pub struct Container<'a> {
    /// The hypervisor.
    pub hypervisor: &'a dyn Hypervisor,
    /// How long to wait for it.
    pub timings: &'a ContainerTimings,
    /// Where tests interrupt the process.
    pub failpoints: &'a Failpoints,
    /// Its VMID.
    pub vmid: VmId,
    /// The operation that created it; its description or a tag names it.
    pub nonce: OperationId,
}

/// What is found on a node under a VMID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObservedContainer {
    /// A container with our nonce.
    Ours(ContainerConfig),
    /// A container without our nonce, or a virtual machine.
    Foreign,
    /// No container anywhere in the cluster.
    Absent,
    /// A container, on another node than expected.
    Elsewhere(NodeName),
    /// The VMID is in use, and our token may not see by what. A container that is being cloned joins its pool late, so this may
    /// be ours.
    Hidden,
}

impl Container<'_> {
    /// Observes the container. Failing to get an answer is an error, never absence.
    pub async fn observe(&self, node: &NodeName) -> Result<ObservedContainer, HypervisorError> {
        let vmid = self.vmid;
        match self.hypervisor.config(node, vmid).await {
            Ok(config) => match identify(&config, self.nonce) {
                Identity::Ours => return Ok(ObservedContainer::Ours(config)),
                Identity::Foreign => return Ok(ObservedContainer::Foreign),
                Identity::Undecided(lock) => {
                    let (operation, lock) = (format!("observe {vmid} on {node}"), lock.to_owned());
                    return Err(HypervisorError::Locked { operation, lock });
                }
            },
            // A pool-scoped token gets a refusal for a container that is gone (docs/contracts/proxmox.md 7).
            Err(HypervisorError::NotFound { .. } | HypervisorError::Forbidden { .. }) => {}
            Err(error) => return Err(error),
        }
        if self.hypervisor.vmid_is_free(vmid).await? {
            return Ok(ObservedContainer::Absent);
        }
        match self.hypervisor.locate(vmid).await? {
            Whereabouts::Container(other) if other != *node => Ok(ObservedContainer::Elsewhere(other)),
            // It appeared or was moved here meanwhile.
            Whereabouts::Container(_) => Err(self.unavailable(node, "its configuration could not be read")),
            Whereabouts::OtherGuest => Ok(ObservedContainer::Foreign),
            Whereabouts::Unlisted => Ok(ObservedContainer::Hidden),
        }
    }

    /// The error for a container that cannot be observed now.
    pub(super) fn unavailable(&self, node: &NodeName, detail: &str) -> HypervisorError {
        HypervisorError::Unavailable {
            operation: format!("observe {} on {node}", self.vmid),
            detail: detail.to_owned(),
        }
    }

    /// The node the container is on, if it is ours and another one than `node`: it was moved.
    pub async fn moved_from(&self, node: &NodeName) -> Option<NodeName> {
        let Ok(Whereabouts::Container(other)) = self.hypervisor.locate(self.vmid).await else { return None };
        let moved = other != *node && matches!(self.observe(&other).await, Ok(ObservedContainer::Ours(_)));
        moved.then_some(other)
    }

    /// Waits for the end of `task`. An error while reading its state says nothing about the task, so it is read again;
    /// `None` when the task did not end before the deadline, or when our token may not read it, as after a rotation: then the
    /// container shows what happened.
    pub async fn wait_for(&self, cx: &StepContext<'_>, task: &Task) -> Result<Option<TaskEnd>, Stopped> {
        let mut deadline = self.timings.deadline();
        loop {
            match self.hypervisor.task(task).await {
                Ok(TaskState::Ended(end)) => return Ok(Some(end)),
                Ok(TaskState::Running) => {}
                Err(HypervisorError::Forbidden { .. }) => return Ok(None),
                Err(error) => tracing::debug!(vmid = %self.vmid, %error, "the state of a task could not be read"),
            }
            if !deadline.wait(cx).await? {
                return Ok(None);
            }
        }
    }

    /// What a task that ended with `count` warnings warned of, for the journal of the operation; also a line of the log.
    pub async fn warnings(&self, task: &Task, count: u32) -> String {
        let lines = match self.hypervisor.task_warnings(task).await {
            Ok(lines) => lines.join("; "),
            Err(error) => format!("its log could not be read: {error}"),
        };
        let vmid = self.vmid;
        tracing::warn!(%vmid, task = task.0, count, "a task for {vmid} ended with warnings: {lines}");
        format!("warnings of the hypervisor ({count}): {lines}")
    }
}

/// Whose a container is, as far as its configuration says.
#[derive(Debug, PartialEq, Eq)]
enum Identity<'a> {
    Ours,
    Foreign,
    /// It is being created or destroyed under this lock, and its description is not written yet or gone already.
    Undecided(&'a str),
}

/// Proxmox writes a new configuration as `lock: create` alone and adds the description later; while it destroys a container,
/// the configuration is `lock: destroyed` alone (docs/contracts/proxmox.md 5.4).
fn identify(config: &ContainerConfig, nonce: OperationId) -> Identity<'_> {
    match (config.description.as_deref(), config.lock.as_deref()) {
        _ if names(config, nonce) => Identity::Ours,
        (None, Some(lock @ ("create" | "destroyed"))) => Identity::Undecided(lock),
        _ => Identity::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::description;

    #[test]
    fn a_container_without_a_description_is_undecided_while_it_is_created_or_destroyed() {
        let nonce = OperationId::generate();
        let config = |text: Option<&str>, lock: Option<&str>| ContainerConfig {
            description: text.map(str::to_owned),
            lock: lock.map(str::to_owned),
            ..ContainerConfig::default()
        };
        let ours = description(nonce);
        for lock in ["create", "destroyed"] {
            assert_eq!(identify(&config(None, Some(lock)), nonce), Identity::Undecided(lock));
            assert_eq!(identify(&config(Some(&ours), Some(lock)), nonce), Identity::Ours);
            assert_eq!(identify(&config(Some("a database"), Some(lock)), nonce), Identity::Foreign);
        }
        for lock in [None, Some("backup"), Some("snapshot")] {
            assert_eq!(identify(&config(None, lock), nonce), Identity::Foreign);
            assert_eq!(identify(&config(Some(&ours), lock), nonce), Identity::Ours);
        }
    }
}
