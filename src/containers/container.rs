//! Looking at the container a number stands for, telling whose it is, and waiting for its tasks.

use std::time::Duration;

use crate::jobs::Failpoints;
use crate::kernel::{OperationId, VmId};
use crate::ports::{ContainerConfig, Hypervisor, HypervisorError, NodeName, Task, TaskEnd, TaskState};
use crate::saga::{StepContext, Stopped};

use super::deadline::Deadline;
use super::nonce::is_ours;

/// How long the hypervisor is waited for. `zpack dev` scales them with the simulated world.
#[derive(Clone, Copy, Debug)]
pub struct ContainerTimings {
    /// Between two looks at a task; grows to five times this.
    pub task_poll: Duration,
    /// For a task to end, and for a busy or unreachable hypervisor to become free.
    pub task_timeout: Duration,
    /// For a hypervisor or a node that does not answer while a server is switched on or off.
    pub away: Duration,
    /// How long a container must stay absent after a lost answer before it counts as never made.
    pub absence: Duration,
}

impl ContainerTimings {
    /// The longest time one change of a container takes when every wait for it comes to its end: attempts begin until
    /// `task_timeout` is over, the last has as long for its request and again for its task.
    pub fn longest_change(&self) -> Duration {
        self.task_timeout * 3 + self.away + self.absence
    }

    /// The usual patience with the hypervisor.
    pub fn deadline(&self) -> Deadline {
        Deadline::new(self.task_poll, self.task_timeout)
    }

    /// The patience with silence, from now on.
    pub fn unreachable_deadline(&self) -> Deadline {
        Deadline::new(self.task_poll, self.away)
    }
}

/// One container of ours, and the means to work on it.
#[derive(Clone, Copy)]
pub struct Container<'a> {
    /// The hypervisor.
    pub hypervisor: &'a dyn Hypervisor,
    /// How long it is waited for.
    pub timings: &'a ContainerTimings,
    /// Places where tests break the process.
    pub failpoints: &'a Failpoints,
    /// Its number.
    pub vmid: VmId,
    /// The operation that made it; its description says so.
    pub nonce: OperationId,
}

/// What stands behind a number on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObservedContainer {
    /// A container of this nonce.
    Ours(ContainerConfig),
    /// A container of somebody else.
    Foreign,
    /// No container anywhere in the cluster.
    Absent,
    /// A container that is on another node than we thought.
    Elsewhere(NodeName),
}

impl Container<'_> {
    /// Looks. An answer that cannot be had is an error, never absence; a container that the cluster knows but does not
    /// list for us is an error too.
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
            // A pool-scoped token is refused where a container is gone (docs/contracts/proxmox.md 7).
            Err(HypervisorError::NotFound { .. } | HypervisorError::Forbidden { .. }) => {}
            Err(error) => return Err(error),
        }
        if self.hypervisor.vmid_is_free(vmid).await? {
            return Ok(ObservedContainer::Absent);
        }
        let listed = self.hypervisor.containers().await?.into_iter().find(|container| container.vmid == vmid);
        match listed {
            Some(container) if container.node != *node => Ok(ObservedContainer::Elsewhere(container.node)),
            _ => Err(HypervisorError::Unavailable {
                operation: format!("observe at {vmid} on {node}"),
                detail: "the cluster knows the container but does not show it".to_owned(),
            }),
        }
    }

    /// Waits for the end of `task`. Failures to ask say nothing about the task and are asked again; `None` when it did
    /// not end in time.
    pub async fn wait_for(&self, cx: &StepContext<'_>, task: &Task) -> Result<Option<TaskEnd>, Stopped> {
        let mut deadline = self.timings.deadline();
        loop {
            match self.hypervisor.task(task).await {
                Ok(TaskState::Ended(end)) => return Ok(Some(end)),
                Ok(TaskState::Running) => {}
                Err(error) => tracing::debug!(vmid = %self.vmid, %error, "could not ask for a task"),
            }
            if !deadline.wait(cx).await? {
                return Ok(None);
            }
        }
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
        (None, Some(lock @ ("create" | "destroyed"))) => Identity::Undecided(lock),
        (description, _) if is_ours(description, nonce) => Identity::Ours,
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
