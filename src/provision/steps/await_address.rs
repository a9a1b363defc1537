//! Waits until the container has an address.

use async_trait::async_trait;

use crate::containers::Deadline;
use crate::kernel::{Classify, Failure};
use crate::saga::{Effect, Step, StepContext, StepError, StepResult, UndoError};

use super::super::run::{Run, step_failure};
use super::super::state::Provisioning;

pub(super) struct AwaitAddress;

#[async_trait]
impl Step<Run, Provisioning> for AwaitAddress {
    fn name(&self) -> &'static str {
        "await_address"
    }

    fn effect(&self) -> Effect {
        Effect::None
    }

    async fn run(&self, run: &Run, cx: &StepContext<'_>, state: &mut Provisioning) -> StepResult {
        let (vmid, node) = state.decided_place()?;
        let timings = &run.deps.policy.timings;
        let mut deadline = Deadline::new(timings.address_poll, timings.address_timeout);
        loop {
            match run.deps.hypervisor.addresses(&node, vmid).await {
                Ok(addresses) => {
                    if let Some(address) = addresses.first() {
                        state.address = Some(*address);
                        return Ok(Some(address.to_string()));
                    }
                }
                Err(error) => match error.failure() {
                    Failure::Transient | Failure::Busy | Failure::Ambiguous => {
                        tracing::debug!(operation.id = %run.operation(), %error, "the addresses could not be read");
                    }
                    Failure::Permanent | Failure::NeedsOperator => return Err(step_failure(&error)),
                },
            }
            if !deadline.wait(cx).await? {
                let waited = timings.address_timeout.as_secs();
                let message = format!("container {vmid} got no address within {waited} s (is DHCP on its bridge up?)");
                return Err(StepError::failed("no_address", message));
            }
        }
    }

    async fn undo(&self, _: &Run, _: &StepContext<'_>, state: &mut Provisioning) -> Result<(), UndoError> {
        state.address = None;
        Ok(())
    }
}
