//! One poll of one agent.

use std::net::IpAddr;

use tokio::time::{Instant, timeout_at};

use super::super::facts::{AgentFacts, AgentHistory};
use super::super::live::PollClaim;
use super::super::pace::Pace;
use super::Poller;
use crate::ports::{AgentError, AgentReport, AgentState};
use crate::servers::store::PollTarget;
use crate::telemetry::Outcome;

/// The longest text of an agent that is stored.
const LONGEST_TEXT: usize = 500;

impl Poller {
    /// How often agents are polled.
    pub(super) const fn pace(&self) -> Pace {
        Pace { fastest: self.settings.interval, slowest: self.settings.longest_interval }
    }

    /// Polls one agent and stores its answer. Returns what is stored of it, unless it was not asked.
    pub(super) async fn poll(&self, target: &PollTarget, claim: &PollClaim) -> Option<AgentHistory> {
        let Ok(address) = target.address.parse::<IpAddr>() else {
            tracing::warn!(vmid = %target.vmid, "the address of {} is not an IP address", target.vmid);
            return None;
        };
        let (before, started) = (claim.history.as_ref(), Instant::now());
        let result = self.ask(address, claim).await;
        let outcome = if matches!(result, PollResult::Answered { .. }) { Outcome::Succeeded } else { Outcome::Failed };
        self.metrics.poller.polled(outcome, started.elapsed());
        let now = self.clock.now();
        let answer = match result {
            PollResult::Answered { report, ready } => Some(AgentFacts { observed_at: now, report, ready }),
            PollResult::NoAnswer => None,
            // The last observation stays until it is too old and then counts as unknown: the agent may be fine.
            PollResult::NotAsked => return None,
        };
        let history = AgentHistory::after(before, answer.as_ref(), now)
            .compared(claim.facts.as_ref(), answer.as_ref())
            .asked_by(self.id);
        if let Some(before) = before
            && history.crashes.total > before.crashes.total
        {
            let (vmid, crashes) = (target.vmid, history.crashes.total);
            tracing::warn!(vmid = vmid.get(), crashes, "the workload of {vmid} crashed; {crashes} crashes so far");
        }
        if let Err(error) = self.live.record_agent(target.id, answer.as_ref(), &history).await {
            tracing::warn!(vmid = %target.vmid, %error, "the state of {} could not be stored", target.vmid);
        }
        Some(history)
    }

    /// Asks the agent at `address` for its report, and whether its workload is ready. One request is enough while a
    /// workload stays ready: the polls ask for one and the other in turn, and what is not asked for stays as it was. A
    /// workload that ceases to be ready is asked for its report at once.
    async fn ask(&self, address: IpAddr, claim: &PollClaim) -> PollResult {
        let deadline = Instant::now() + self.settings.timeout;
        let steady = claim.facts.as_ref().filter(|facts| facts.is_ready());
        let is_turn_of_readiness = claim.history.as_ref().is_some_and(|history| history.polls % 2 == 1);
        if let Some(AgentFacts { report, .. }) = steady
            && is_turn_of_readiness
            && let Ok(Ok(true)) = timeout_at(deadline, self.agent.ready(address)).await
        {
            return PollResult::Answered { report: report.clone(), ready: Some(true) };
        }
        match timeout_at(deadline, self.agent.status(address)).await {
            Ok(Ok(report)) => {
                let ready = match report.state {
                    AgentState::Running if steady.is_some() && !is_turn_of_readiness => Some(Ok(true)),
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
