//! The workload of a server whose container is switched off and on.
//!
//! Before the container is switched off, the row of the server records that the workload ran ([`instance::Model::resume`]),
//! and only then is the workload stopped. After the container was switched on, a workload that is so recorded is started
//! again. The owner of the operation writes the record under its fence. A customer who stops or starts the game removes it.

use std::net::IpAddr;

use super::deps::PowerDeps;
use crate::containers::Deadline;
use crate::db::entities::instance::{self, InstanceKind};
use crate::jobs::JobContext;
use crate::kernel::Classify;
use crate::ports::{AgentError, AgentState, WorkloadAction};
use crate::saga::{StepContext, StepError, StepResult};
use crate::servers::store;

/// How many calls of an agent may fail before its workload is left as it is.
const TRIES: u32 = 3;

/// Why the state of a workload is not known.
enum NoState {
    /// Its agent does not report it.
    Agent(AgentError),
    /// The step was asked to stop.
    Step(StepError),
}

/// The workload of one server.
pub(super) struct Workload<'a> {
    pub(super) deps: &'a PowerDeps,
    pub(super) cx: &'a JobContext,
    pub(super) row: &'a instance::Model,
}

impl Workload<'_> {
    /// Stops the workload, if it runs. The container is switched off even if the agent fails; an agent that was not asked
    /// to stop its workload starts it when the container is on again.
    pub(super) async fn quiesce(&self, cx: &StepContext<'_>) -> StepResult {
        let Some(address) = self.agent() else { return Ok(None) };
        let state = match self.state(address, cx).await {
            Ok(state) => state,
            Err(NoState::Agent(error)) => return Ok(Some(format!("the workload was not stopped first: {error}"))),
            Err(NoState::Step(error)) => return Err(error),
        };
        if wants_to_run(state) && !self.row.resume {
            self.record(true).await?;
        }
        if is_at_rest(state) {
            return Ok(None);
        }
        self.cx.failpoints.hit("workload.recorded").await;
        if let Err(error) = self.deps.agent.power(address, WorkloadAction::Stop).await {
            return Ok(Some(format!("the workload was not stopped first: {error}")));
        }
        let mut deadline = Deadline::new(self.deps.timings.task_poll, self.deps.grace);
        loop {
            if let Ok(report) = self.deps.agent.status(address).await
                && !matches!(report.state, AgentState::Running | AgentState::Stopping | AgentState::Starting)
            {
                return Ok(None);
            }
            if !deadline.wait(cx).await? {
                return Ok(Some("the workload did not stop in time".to_owned()));
            }
        }
    }

    /// Starts the workload, if zpack stopped it.
    pub(super) async fn resume(&self, cx: &StepContext<'_>) -> StepResult {
        if !self.row.resume {
            return Ok(None);
        }
        let Some(address) = self.agent() else { return Ok(None) };
        let mut deadline = Deadline::new(self.deps.timings.task_poll, self.deps.agent_timeout);
        loop {
            let error = match self.deps.agent.power(address, WorkloadAction::Start).await {
                Ok(()) => break,
                Err(error) => error,
            };
            // The agent may be starting it already: after a lost answer, or because it was never asked to stop it.
            if matches!(self.deps.agent.status(address).await, Ok(report) if wants_to_run(report.state)) {
                break;
            }
            if !deadline.wait_after(cx, error.failure()).await? {
                let message = format!("the server is on, but what runs on it could not be started again: {error}");
                return Err(StepError::failed("game_not_started", message));
            }
        }
        self.cx.failpoints.hit("workload.started").await;
        self.record(false).await?;
        Ok(Some("the workload was started again".to_owned()))
    }

    /// The address of the agent; `None` for a dev container, whose workload is the container.
    fn agent(&self) -> Option<IpAddr> {
        match self.row.kind {
            InstanceKind::Game => self.row.address.parse().ok(),
            InstanceKind::Dev => None,
        }
    }

    /// The state that the agent reports. A lost answer is not the last word.
    async fn state(&self, address: IpAddr, cx: &StepContext<'_>) -> Result<AgentState, NoState> {
        let mut tries = 1;
        loop {
            match self.deps.agent.status(address).await {
                Ok(report) => return Ok(report.state),
                Err(error) if tries == TRIES => return Err(NoState::Agent(error)),
                Err(_) => {
                    cx.wait(self.deps.timings.task_poll).await.map_err(|stopped| NoState::Step(stopped.into()))?
                }
            }
            tries += 1;
        }
    }

    /// Records whether the next start of the container starts the workload.
    async fn record(&self, resume: bool) -> Result<(), StepError> {
        let vmid = self.row.vmid;
        let write = || async {
            let tx = self.cx.begin().await?;
            store::mark_resume(&*tx, vmid, resume).await?;
            Ok(tx.commit().await?)
        };
        Ok(self.cx.write("workload", write).await?)
    }
}

/// Whether a workload in this state runs, or will run if nothing is done.
const fn wants_to_run(state: AgentState) -> bool {
    match state {
        AgentState::Running | AgentState::Starting | AgentState::Crashed => true,
        AgentState::Idle
        | AgentState::Installing
        | AgentState::Stopping
        | AgentState::Stopped
        | AgentState::Error
        | AgentState::Unknown => false,
    }
}

/// Whether nothing runs in this state that could be stopped.
const fn is_at_rest(state: AgentState) -> bool {
    match state {
        AgentState::Idle | AgentState::Stopped | AgentState::Crashed | AgentState::Error => true,
        AgentState::Installing
        | AgentState::Starting
        | AgentState::Running
        | AgentState::Stopping
        | AgentState::Unknown => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_workload_that_ran_is_started_again() {
        let resumed: Vec<_> = AgentState::ALL.iter().filter(|state| wants_to_run(**state)).collect();
        assert_eq!(resumed, [&AgentState::Starting, &AgentState::Running, &AgentState::Crashed]);
    }
}
