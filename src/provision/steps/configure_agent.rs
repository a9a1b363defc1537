//! Hands the agent what it shall install. The same generation twice changes nothing.

use async_trait::async_trait;

use crate::kernel::{Classify, Failure};
use crate::saga::{Reach, Step, StepContext, StepError, UndoError};

use super::super::run::Run;
use super::super::state::Provisioning;
use super::super::task::Patience;
use super::place;

pub(super) struct ConfigureAgent;

#[async_trait]
impl Step<Run, Provisioning> for ConfigureAgent {
    fn name(&self) -> &'static str {
        "configure_agent"
    }

    fn reach(&self) -> Reach {
        Reach::Outside
    }

    async fn run(
        &self,
        run: &Run,
        cx: &StepContext<'_>,
        state: &mut Provisioning,
    ) -> Result<Option<String>, StepError> {
        let (vmid, _) = place(state)?;
        let Some(address) = state.address else {
            return Err(StepError::failed("internal", "no address is known"));
        };
        if state.admin_password.is_none() {
            state.admin_password = Some(uuid::Uuid::new_v4().simple().to_string());
            cx.checkpoint(state).await?;
        }
        let config = run.blueprint.agent_config(vmid, state.admin_password.as_deref().unwrap_or_default());
        let timings = &run.deps.policy.timings;
        let mut patience = Patience::new(timings.agent_poll, timings.ready_timeout);
        loop {
            let sent = run.deps.agent.configure(&run.endpoint(address), &config).await;
            run.hit("configure_agent.accepted");
            let error = match sent {
                Ok(()) => return Ok(None),
                Err(error) => error,
            };
            let again = match error.failure() {
                Failure::Transient | Failure::Busy | Failure::Ambiguous => patience.again(cx).await?,
                Failure::Permanent | Failure::NeedsOperator => false,
            };
            if !again {
                return Err(StepError::failed("agent_refused", error.to_string()));
            }
        }
    }

    async fn undo(&self, _: &Run, _: &StepContext<'_>, _: &mut Provisioning) -> Result<(), UndoError> {
        Ok(())
    }
}
