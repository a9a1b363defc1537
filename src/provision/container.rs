//! Looking at the container a number stands for, and telling whose it is.

use crate::kernel::{Classify, Failure, VmId};
use crate::ports::{ContainerConfig, HypervisorError, NodeName};

use super::plan::is_ours;
use super::run::Run;

/// What stands behind a number on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sighting {
    /// A container of this operation.
    Ours(ContainerConfig),
    /// A container of somebody else.
    Foreign,
    /// No container anywhere in the cluster.
    Absent,
    /// A container that is on another node than we thought.
    Elsewhere(NodeName),
}

/// Looks. An answer that cannot be had is an error, never absence; a container that the cluster knows but does not
/// list for us is an error too.
pub(super) async fn look(run: &Run, node: &NodeName, vmid: VmId) -> Result<Sighting, HypervisorError> {
    let hypervisor = &run.deps.hypervisor;
    match hypervisor.config(node, vmid).await {
        Ok(config) if is_ours(config.description.as_deref(), run.operation()) => return Ok(Sighting::Ours(config)),
        Ok(_) => return Ok(Sighting::Foreign),
        // A pool-scoped token is refused where a container is gone (wire/proxmox.md section 7).
        Err(HypervisorError::NotFound { .. } | HypervisorError::Forbidden { .. }) => {}
        Err(error) => return Err(error),
    }
    if hypervisor.vmid_is_free(vmid).await? {
        return Ok(Sighting::Absent);
    }
    let listed = hypervisor.containers().await?.into_iter().find(|container| container.vmid == vmid);
    match listed {
        Some(container) if container.node != *node => Ok(Sighting::Elsewhere(container.node)),
        _ => Err(HypervisorError::Unavailable {
            operation: format!("look at {vmid} on {node}"),
            detail: "the cluster knows the container but does not show it".to_owned(),
        }),
    }
}

/// Whether the same request may be sent again after a while.
pub(super) fn may_pass(failure: Failure) -> bool {
    match failure {
        Failure::Transient | Failure::Busy => true,
        Failure::Ambiguous | Failure::Permanent | Failure::NeedsOperator => false,
    }
}

/// The code and the words for an error of the hypervisor that ends a step.
pub(super) fn step_failure(error: &HypervisorError) -> crate::saga::StepError {
    let code = match error.failure() {
        Failure::Transient | Failure::Busy | Failure::Ambiguous => "hypervisor_unavailable",
        Failure::Permanent => "hypervisor_refused",
        Failure::NeedsOperator => match error {
            HypervisorError::NoCapacity { .. } => "no_capacity",
            _ => "hypervisor_not_permitted",
        },
    };
    crate::saga::StepError::failed(code, error.to_string())
}
