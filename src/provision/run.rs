//! What the steps share: the peers, the policy, and the operation they work for.

use std::sync::Arc;

use sea_orm::DatabaseConnection;

use crate::containers::{Container, Deadline};
use crate::jobs::JobContext;
use crate::kernel::{Classify, Clock, Failure, OperationId, UserId, VmId};
use crate::operations::{Resource, ResourceLock};
use crate::ports::{Agent, Hypervisor, HypervisorError};
use crate::publishing::Publisher;
use crate::saga::{StepContext, StepError};

use super::plan::Blueprint;
use super::policy::ProvisionPolicy;
use super::request::ServerRequest;
use super::setbacks::Setbacks;

/// Dependencies of provisioning.
pub struct ProvisionDeps {
    /// The database.
    pub db: DatabaseConnection,
    /// The hypervisor.
    pub hypervisor: Arc<dyn Hypervisor>,
    /// The agents.
    pub agent: Arc<dyn Agent>,
    /// The edge.
    pub publisher: Publisher,
    /// The clock of the process.
    pub clock: Clock,
    /// The policy.
    pub policy: ProvisionPolicy,
    /// Templates that failed lately.
    pub setbacks: Setbacks,
}

/// One run of the saga.
pub(super) struct Run {
    pub(super) deps: Arc<ProvisionDeps>,
    pub(super) cx: JobContext,
    pub(super) user_id: UserId,
    pub(super) request: ServerRequest,
    pub(super) blueprint: Blueprint,
}

impl Run {
    /// The operation's id, which is also the nonce of its container.
    pub(super) const fn operation(&self) -> OperationId {
        self.cx.id()
    }

    /// The container `vmid` of this operation.
    pub(super) fn container(&self, vmid: VmId) -> Container<'_> {
        Container {
            hypervisor: self.deps.hypervisor.as_ref(),
            timings: &self.deps.policy.timings.container,
            failpoints: &self.cx.failpoints,
            vmid,
            nonce: self.operation(),
        }
    }

    /// The usual deadline for the hypervisor, from now on.
    pub(super) fn deadline(&self) -> Deadline {
        self.deps.policy.timings.container.deadline()
    }

    /// Waits for a lock that one provisioning operation holds at a time.
    pub(super) async fn lock(&self, cx: &StepContext<'_>, resource: Resource) -> Result<ResourceLock<'_>, StepError> {
        ResourceLock::take(&self.cx, cx, resource, self.deps.policy.timings.container.task_poll).await
    }

    /// A failpoint.
    pub(super) async fn hit(&self, place: &str) {
        self.cx.failpoints.hit(place).await;
    }
}

/// The failure of a step after an error of the hypervisor.
pub(super) fn step_failure(error: &HypervisorError) -> StepError {
    let code = match error.failure() {
        Failure::Transient | Failure::Busy | Failure::Ambiguous => "hypervisor_unavailable",
        Failure::Permanent => "hypervisor_refused",
        Failure::NeedsOperator => match error {
            HypervisorError::NoCapacity { .. } => "no_capacity",
            _ => "hypervisor_not_permitted",
        },
    };
    StepError::failed(code, error.to_string())
}
