//! Waits until the workload is ready. If the agent reports an error, the wait ends at once with the agent's message.

use async_trait::async_trait;

use crate::containers::Deadline;
use crate::ports::{AgentError, AgentReport, AgentState};
use crate::saga::{Effect, Step, StepContext, StepError, StepResult};

use super::super::run::Run;
use super::super::state::Provisioning;

pub(super) struct AwaitReady;

#[async_trait]
impl Step<Run, Provisioning> for AwaitReady {
    fn name(&self) -> &'static str {
        "await_ready"
    }

    fn effect(&self) -> Effect {
        Effect::None
    }

    async fn run(&self, run: &Run, cx: &StepContext<'_>, state: &mut Provisioning) -> StepResult {
        let (vmid, _) = state.decided_place()?;
        let address = state.known_address()?;
        let timings = &run.deps.policy.timings;
        let mut deadline = Deadline::new(timings.agent_poll, timings.ready_timeout);
        loop {
            let last = match run.deps.agent.status(address).await {
                Ok(report) => {
                    if let Some(words) = agent_error(&report) {
                        return Err(StepError::failed("agent_error", words));
                    }
                    if report.state == AgentState::Running && is_ready(run.deps.agent.ready(address).await) {
                        return Ok(None);
                    }
                    describe(&report)
                }
                Err(error) => error.to_string(),
            };
            if !deadline.wait(cx).await? {
                let waited = timings.ready_timeout.as_secs();
                let message = format!("server {vmid} was not ready within {waited} s; last observed: {last}");
                return Err(StepError::failed("not_ready", message));
            }
        }
    }
}

/// The agent's error message, if it reports an error.
fn agent_error(report: &AgentReport) -> Option<String> {
    let words = || report.error.clone().unwrap_or_else(|| "the agent reports an error without a message".to_owned());
    match report.state {
        AgentState::Error => Some(words()),
        AgentState::Idle
        | AgentState::Installing
        | AgentState::Starting
        | AgentState::Running
        | AgentState::Stopping
        | AgentState::Stopped
        | AgentState::Crashed
        | AgentState::Unknown => None,
    }
}

fn describe(report: &AgentReport) -> String {
    match (&report.install_step, report.install_progress) {
        (Some(step), Some(percent)) => format!("{} ({step}, {percent} %)", report.state),
        (Some(step), None) => format!("{} ({step})", report.state),
        (None, _) => report.state.to_string(),
    }
}

/// Small agents have no readiness probe; for them running counts as ready.
fn is_ready(answer: Result<bool, AgentError>) -> bool {
    match answer {
        Ok(ready) => ready,
        Err(AgentError::Unsupported { .. }) => true,
        Err(_) => false,
    }
}
