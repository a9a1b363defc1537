//! One poll of one agent.

use std::net::IpAddr;

use tokio::time::{Instant, timeout_at};

use super::super::facts::{AgentFacts, AgentHistory};
use super::Poller;
use crate::ports::{AgentError, AgentReport, AgentState};
use crate::servers::store::PollTarget;
use crate::telemetry::Outcome;

/// The longest text of an agent that is stored.
const LONGEST_TEXT: usize = 500;

impl Poller {
    /// Polls one agent and stores its answer.
    pub(super) async fn poll(&self, target: &PollTarget, before: Option<&AgentHistory>) {
        let Ok(address) = target.address.parse::<IpAddr>() else {
            tracing::warn!(vmid = %target.vmid, "the address of {} is not an IP address", target.vmid);
            return;
        };
        let started = Instant::now();
        let result = self.ask(address).await;
        let outcome = if matches!(result, PollResult::Answered { .. }) { Outcome::Succeeded } else { Outcome::Failed };
        self.metrics.poller.polled(outcome, started.elapsed());
        let now = self.clock.now();
        let answer = match result {
            PollResult::Answered { report, ready } => Some(AgentFacts { observed_at: now, report, ready }),
            PollResult::NoAnswer => None,
            // The last observation stays until it is too old and then counts as unknown: the agent may be fine.
            PollResult::NotAsked => return,
        };
        let history = AgentHistory::after(before, answer.as_ref(), now);
        if let Some(before) = before
            && history.crashes.total > before.crashes.total
        {
            let (vmid, crashes) = (target.vmid, history.crashes.total);
            tracing::warn!(vmid = vmid.get(), crashes, "the workload of {vmid} crashed; {crashes} crashes so far");
        }
        if let Err(error) = self.live.record_agent(target.id, answer.as_ref(), &history).await {
            tracing::warn!(vmid = %target.vmid, %error, "the state of {} could not be stored", target.vmid);
        }
    }

    /// Asks the agent at `address` for its report, and whether its workload is ready.
    async fn ask(&self, address: IpAddr) -> PollResult {
        let deadline = Instant::now() + self.settings.timeout;
        match timeout_at(deadline, self.agent.status(address)).await {
            Ok(Ok(report)) => {
                let ready = match report.state {
                    AgentState::Running => timeout_at(deadline, self.agent.ready(address)).await.ok(),
                    AgentState::Idle
                    | AgentState::Installing
                    | AgentState::Starting
                    | AgentState::Stopping
                    | AgentState::Stopped
                    | AgentState::Crashed
                    | AgentState::Error
                    | AgentState::Unknown => None,
                };
                PollResult::Answered { report: Some(cut(report)), ready: ready.and_then(Result::ok) }
            }
            // A refusal is an answer too.
            Ok(Err(
                AgentError::Busy { .. }
                | AgentError::Unauthorized { .. }
                | AgentError::Unsupported { .. }
                | AgentError::Refused { .. }
                | AgentError::Protocol { .. },
            )) => PollResult::Answered { report: None, ready: None },
            Ok(Err(AgentError::KeptBack { .. })) => PollResult::NotAsked,
            Ok(Err(AgentError::Unreachable { .. } | AgentError::NoAnswer { .. })) | Err(_) => PollResult::NoAnswer,
        }
    }
}

/// The result of one poll.
enum PollResult {
    /// The agent answered, with or without a report.
    Answered { report: Option<AgentReport>, ready: Option<bool> },
    /// It did not answer before the timeout.
    NoAnswer,
    /// It was not asked, because it refused our token shortly before.
    NotAsked,
}

fn cut(report: AgentReport) -> AgentReport {
    let shorten = |text: Option<String>| text.map(|text| text.chars().take(LONGEST_TEXT).collect());
    AgentReport { install_step: shorten(report.install_step), error: shorten(report.error), ..report }
}
