//! One poll of one agent.

use std::net::IpAddr;

use tokio::time::{Instant, timeout_at};

use super::super::facts::{AgentFacts, AgentHistory};
use super::Poller;
use crate::ports::{AgentError, AgentReport, AgentState};
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
        let started = Instant::now();
        let heard = self.ask(address).await;
        let outcome = if matches!(heard, Heard::Answer { .. }) { Outcome::Succeeded } else { Outcome::Failed };
        self.metrics.poller.polled(outcome, started.elapsed());
        let now = self.clock.now();
        let answer = match heard {
            Heard::Answer { report, ready } => Some(AgentFacts { observed_at: now, report, ready }),
            Heard::Nothing => None,
            // What was observed before stands until it is too old, and is unknown then: the agent may be well.
            Heard::NotAsked => return,
        };
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

    /// Asks the agent at `address` what it says of itself, and whether its workload is ready.
    async fn ask(&self, address: IpAddr) -> Heard {
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
                Heard::Answer { report: Some(cut(report)), ready: ready.and_then(Result::ok) }
            }
            // It answered, if only to refuse.
            Ok(Err(
                AgentError::Busy { .. }
                | AgentError::Unauthorized { .. }
                | AgentError::Unsupported { .. }
                | AgentError::Refused { .. }
                | AgentError::Protocol { .. },
            )) => Heard::Answer { report: None, ready: None },
            Ok(Err(AgentError::KeptBack { .. })) => Heard::NotAsked,
            Ok(Err(AgentError::Unreachable { .. } | AgentError::NoAnswer { .. })) | Err(_) => Heard::Nothing,
        }
    }
}

/// What came of one poll.
enum Heard {
    /// The agent answered, with or without saying something of itself.
    Answer { report: Option<AgentReport>, ready: Option<bool> },
    /// It did not answer in time.
    Nothing,
    /// It was not asked, because it refused our token a moment ago.
    NotAsked,
}

fn cut(report: AgentReport) -> AgentReport {
    let shorten = |text: Option<String>| text.map(|text| text.chars().take(LONGEST_TEXT).collect());
    AgentReport { install_step: shorten(report.install_step), error: shorten(report.error), ..report }
}
