//! One poll of one agent.

use std::net::IpAddr;

use tokio::time::{Instant, timeout_at};

use super::super::facts::{AgentFacts, AgentHistory};
use super::Poller;
use crate::ports::{AgentEndpoint, AgentError, AgentReport, AgentState};
use crate::servers::store::PollTarget;
use crate::telemetry::Outcome;

/// The longest text of an agent that is kept.
const LONGEST_TEXT: usize = 500;

impl Poller {
    /// Asks one agent and writes down what it said.
    pub(super) async fn poll(&self, target: &PollTarget, before: Option<&AgentHistory>) {
        let Ok(address) = target.address.parse::<IpAddr>() else {
            tracing::warn!(vmid = %target.vmid, "the address of {} is not an IP address", target.vmid);
            return;
        };
        let endpoint =
            AgentEndpoint { address, port: self.settings.agent_port, token: self.settings.agent_token.clone() };
        let started = Instant::now();
        let heard = self.ask(&endpoint).await;
        let outcome = if heard.is_some() { Outcome::Succeeded } else { Outcome::Failed };
        self.metrics.poller.polled(outcome, started.elapsed());
        let now = self.clock.now();
        let answer = heard.map(|(report, ready)| AgentFacts { observed_at: now, report, ready });
        let history = AgentHistory::after(before, answer.as_ref(), now);
        if let Some(before) = before
            && history.crashes.total > before.crashes.total
        {
            let (vmid, crashes) = (target.vmid, history.crashes.total);
            tracing::warn!(vmid = vmid.get(), crashes, "the workload of {vmid} crashed, {crashes} times in all");
        }
        if let Err(error) = self.live.record_agent(target.id, answer.as_ref(), &history).await {
            tracing::warn!(vmid = %target.vmid, %error, "the state of {} could not be written", target.vmid);
        }
    }

    /// What the agent says of itself and whether its workload is ready; `None` when it does not answer in time.
    async fn ask(&self, endpoint: &AgentEndpoint) -> Option<(Option<AgentReport>, Option<bool>)> {
        let deadline = Instant::now() + self.settings.timeout;
        match timeout_at(deadline, self.agent.status(endpoint)).await {
            Ok(Ok(report)) => {
                let ready = match report.state {
                    AgentState::Running => timeout_at(deadline, self.agent.ready(endpoint)).await.ok(),
                    AgentState::Idle
                    | AgentState::Installing
                    | AgentState::Starting
                    | AgentState::Stopping
                    | AgentState::Stopped
                    | AgentState::Crashed
                    | AgentState::Error
                    | AgentState::Unknown => None,
                };
                Some((Some(cut(report)), ready.and_then(Result::ok)))
            }
            // It answered, if only to refuse.
            Ok(Err(
                AgentError::Busy { .. }
                | AgentError::Unauthorized { .. }
                | AgentError::Unsupported { .. }
                | AgentError::Refused { .. }
                | AgentError::Protocol { .. },
            )) => Some((None, None)),
            Ok(Err(AgentError::Unreachable { .. } | AgentError::NoAnswer { .. })) | Err(_) => None,
        }
    }
}

fn cut(report: AgentReport) -> AgentReport {
    let shorten = |text: Option<String>| text.map(|text| text.chars().take(LONGEST_TEXT).collect());
    AgentReport { install_step: shorten(report.install_step), error: shorten(report.error), ..report }
}
