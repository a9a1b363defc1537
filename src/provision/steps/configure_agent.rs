//! Sends the agent what it has to install. Sending the same generation twice changes nothing.

use async_trait::async_trait;

use crate::containers::Deadline;
use crate::kernel::Classify;
use crate::saga::{Effect, Step, StepContext, StepError, StepResult};

use super::super::run::Run;
use super::super::state::Provisioning;

pub(super) struct ConfigureAgent;

#[async_trait]
impl Step<Run, Provisioning> for ConfigureAgent {
    fn name(&self) -> &'static str {
        "configure_agent"
    }

    fn effect(&self) -> Effect {
        Effect::External
    }

    async fn run(&self, run: &Run, cx: &StepContext<'_>, state: &mut Provisioning) -> StepResult {
        let (vmid, _) = state.decided_place()?;
        let address = state.known_address()?;
        if state.admin_password.is_none() {
            state.admin_password = Some(uuid::Uuid::new_v4().simple().to_string());
            cx.checkpoint(state).await?;
        }
        let password = state.admin_password.as_deref().unwrap_or_default();
        let config = run.blueprint.agent_config(vmid, &state.public_ports(), password);
        let timings = &run.deps.policy.timings;
        let mut deadline = Deadline::new(timings.agent_poll, timings.ready_timeout);
        loop {
            let sent = run.deps.agent.configure(address, &config).await;
            run.hit("configure_agent.accepted").await;
            let error = match sent {
                Ok(()) => return Ok(None),
                Err(error) => error,
            };
            if !deadline.wait_after(cx, error.failure()).await? {
                return Err(StepError::failed("agent_refused", error.to_string()));
            }
        }
    }
}
