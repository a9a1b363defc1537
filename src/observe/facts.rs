//! The last observations of one server, and what follows from them at a given time. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::status::{AgentSignal, MergedStatus, believed_power, merge};
use crate::db::entities::instance::InstanceKind;
use crate::edge::PingState;
use crate::kernel::Timestamp;
use crate::ports::{AgentReport, AgentState, NodeName, PowerState};

/// How long the last observed power of a container counts while the hypervisor cannot be read.
const POWER_TRUST: Duration = Duration::from_secs(300);
/// After so many polls without an answer the last one counts no longer. A poll without an answer is soon repeated.
const UNANSWERED: u32 = 3;

/// The last answer of an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentFacts {
    /// When it answered.
    pub observed_at: Timestamp,
    /// What it reported; absent when it answered without a report.
    pub report: Option<AgentReport>,
    /// Whether the workload accepts visitors; absent when it does not run or the agent cannot say.
    pub ready: Option<bool>,
}

impl AgentFacts {
    /// Whether its workload runs and accepts visitors.
    pub fn is_ready(&self) -> bool {
        self.ready == Some(true) && self.report.as_ref().is_some_and(|report| report.state == AgentState::Running)
    }
}

/// What is stored of an agent beyond its last answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentHistory {
    /// When it was last polled, successfully or not.
    pub asked_at: Timestamp,
    /// When it last answered.
    pub seen_at: Option<Timestamp>,
    /// How often its workload crashed.
    pub crashes: CrashCount,
    /// When its answers last changed, or it began or ceased to answer.
    #[serde(default)]
    pub changed_at: Option<Timestamp>,
    /// How many polls in a row it has not answered.
    #[serde(default)]
    pub unanswered: u32,
    /// How many polls there were; wraps around.
    #[serde(default)]
    pub polls: u32,
    /// The process that polled it last.
    #[serde(default)]
    pub asked_by: Option<PollerId>,
}

/// A process that observes servers, for as long as it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollerId(pub u64);

/// Counts crashes across restarts of an agent, whose own count starts from zero each time. Never decreases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashCount {
    /// All crashes so far.
    pub total: u32,
    /// The agent's own count when it last reported.
    pub reported: u32,
}

impl CrashCount {
    /// The count after the agent reported `reported`. The same report twice counts once.
    #[must_use]
    pub const fn after(self, reported: u32) -> Self {
        let fresh = if reported >= self.reported { reported - self.reported } else { reported };
        Self { total: self.total.saturating_add(fresh), reported }
    }
}

impl AgentHistory {
    /// The history after the agent was polled at `now` and gave `answer`.
    pub fn after(before: Option<&Self>, answer: Option<&AgentFacts>, now: Timestamp) -> Self {
        let crashes = before.map_or(CrashCount::default(), |history| history.crashes);
        let report = answer.and_then(|facts| facts.report.as_ref());
        let unanswered = before.map_or(0, |history| history.unanswered);
        Self {
            asked_at: now,
            seen_at: answer.map(|facts| facts.observed_at).or(before.and_then(|history| history.seen_at)),
            crashes: report.map_or(crashes, |report| crashes.after(report.crash_count)),
            changed_at: before.map_or(Some(now), |history| history.changed_at),
            unanswered: if answer.is_some() { 0 } else { unanswered.saturating_add(1) },
            polls: before.map_or(0, |history| history.polls).wrapping_add(1),
            asked_by: before.and_then(|history| history.asked_by),
        }
    }

    /// The history after `poller` asked.
    #[must_use]
    pub fn asked_by(self, poller: PollerId) -> Self {
        Self { asked_by: Some(poller), ..self }
    }

    /// The history after `answer`, which differs from what was observed before, or not.
    #[must_use]
    pub fn compared(self, before: Option<&AgentFacts>, answer: Option<&AgentFacts>) -> Self {
        let same = match (before, answer) {
            (Some(before), Some(answer)) => before.report == answer.report && before.ready == answer.ready,
            (_, None) => self.unanswered > 1,
            (None, Some(_)) => false,
        };
        Self { changed_at: if same { self.changed_at } else { Some(self.asked_at) }, ..self }
    }
}

/// What is stored of the pings of a server beyond the result, which is stored with its row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PingHistory {
    /// When it was last pinged.
    pub asked_at: Timestamp,
    /// The process that pinged it last.
    pub asked_by: PollerId,
    /// The result.
    pub state: PingState,
    /// When the result last differed from the one before.
    pub changed_at: Timestamp,
}

impl PingHistory {
    /// The history after `poller` pinged the server at `now` with this result.
    pub fn after(before: Option<&Self>, state: PingState, poller: PollerId, now: Timestamp) -> Self {
        let same = before.filter(|before| before.state == state);
        Self { asked_at: now, asked_by: poller, state, changed_at: same.map_or(now, |before| before.changed_at) }
    }

    /// Whether the server answered.
    pub fn is_answered(&self) -> bool {
        matches!(self.state, PingState::Answered | PingState::Silent)
    }
}

/// The last observation of a container at the hypervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostFacts {
    /// When the listing began.
    pub observed_at: Timestamp,
    /// The power of the container.
    pub power: PowerState,
    /// The node it is on.
    pub node: NodeName,
}

/// All last observations of one server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The last answer of its agent.
    pub agent: Option<AgentFacts>,
    /// What is stored of its agent beyond that.
    pub history: Option<AgentHistory>,
    /// Its container.
    pub host: Option<HostFacts>,
    /// When the last failed listing of the hypervisor began.
    pub observation_failed_at: Option<Timestamp>,
    /// When Traefik, which routes the public ports of all servers, last polled.
    pub router_polled_at: Option<Timestamp>,
}

/// The facts about a server, if Redis could be read.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "nearly all are facts, and a box for each server of a page costs more")]
pub enum Live {
    /// It could.
    Facts(Facts),
    /// Redis did not answer.
    Unreadable,
}

impl Live {
    /// The same, with what the operation that recorded the server had just observed: its container was on, and its workload
    /// was ready. This counts until the first poll and the first listing, and when Redis cannot be read.
    #[must_use]
    pub fn since_recorded(self, recorded_at: Timestamp, node: &str) -> Self {
        let facts = match self {
            Self::Facts(facts) => facts,
            Self::Unreadable => Facts::default(),
        };
        let report = AgentReport::of(AgentState::Running);
        let agent = || AgentFacts { observed_at: recorded_at, report: Some(report), ready: Some(true) };
        let host = || HostFacts { observed_at: recorded_at, power: PowerState::Running, node: NodeName::new(node) };
        let unpolled = facts.history.as_ref().is_none_or(|history| history.seen_at.is_none());
        Self::Facts(Facts {
            agent: facts.agent.or_else(|| unpolled.then(agent)),
            host: facts.host.or_else(|| Some(host())),
            ..facts
        })
    }
}

/// How old observations may be.
#[derive(Clone, Copy, Debug)]
pub struct Freshness {
    /// For an agent's answer: three of the longest intervals of the poller.
    pub agent: Duration,
    /// For the hypervisor's listing, before it counts as stale.
    pub host: Duration,
}

impl Freshness {
    /// Fits agents that are polled every `agents` and a hypervisor that is listed every `hosts`.
    pub const fn of_intervals(agents: Duration, hosts: Duration) -> Self {
        Self { agent: agents.saturating_mul(3), host: hosts.saturating_mul(3) }
    }
}

/// What is known of a server at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Its statuses.
    pub merged: MergedStatus,
    /// The power of its container.
    pub power: PowerState,
    /// Whether its workload accepts visitors, if the agent can say.
    pub ready: Option<bool>,
    /// The installation step in progress.
    pub install_step: Option<String>,
    /// How often its workload has crashed.
    pub crash_count: u32,
    /// When its agent last answered.
    pub last_seen: Option<Timestamp>,
    /// When the newest of these facts was observed.
    pub observed_at: Option<Timestamp>,
    /// Whether facts are missing or older than they should be.
    pub stale: bool,
    /// When Traefik last polled.
    pub router_polled_at: Option<Timestamp>,
}

/// What follows from `live` at `now` for a server of this kind.
pub fn observe(kind: InstanceKind, live: &Live, now: Timestamp, fresh: Freshness) -> Observation {
    let nothing = Facts::default();
    let (facts, readable) = match live {
        Live::Facts(facts) => (facts, true),
        Live::Unreadable => (&nothing, false),
    };
    let gone = facts.history.as_ref().is_some_and(|history| history.unanswered >= UNANSWERED);
    let agent = facts.agent.as_ref().filter(|agent| !gone && now.since(agent.observed_at) <= fresh.agent);
    let asked_lately = facts.history.as_ref().is_some_and(|history| now.since(history.asked_at) <= fresh.agent);
    let signal = match (agent, asked_lately) {
        (Some(AgentFacts { report: Some(report), .. }), _) => AgentSignal::Reported(report.state),
        (Some(AgentFacts { report: None, .. }), _) => AgentSignal::Alive,
        (None, true) => AgentSignal::Unresponsive,
        (None, false) => AgentSignal::Unknown,
    };
    let host = facts.host.as_ref().filter(|host| now.since(host.observed_at) <= POWER_TRUST);
    let power = believed_power(host.map(|host| (host.power, host.observed_at)), agent.map(|agent| agent.observed_at));
    let host_is_fresh = host.is_some_and(|host| now.since(host.observed_at) <= fresh.host);
    let agent_at = facts.agent.as_ref().map(|agent| agent.observed_at);
    Observation {
        merged: merge(kind, power, signal),
        power,
        ready: agent.and_then(|agent| agent.ready),
        install_step: agent.and_then(|agent| agent.report.as_ref()).and_then(|report| report.install_step.clone()),
        crash_count: facts.history.as_ref().map_or(0, |history| history.crashes.total),
        last_seen: facts.history.as_ref().and_then(|history| history.seen_at).max(agent_at),
        observed_at: facts.host.as_ref().map(|host| host.observed_at).max(agent_at),
        stale: !readable || !host_is_fresh || matches!(signal, AgentSignal::Unknown),
        router_polled_at: facts.router_polled_at,
    }
}

/// The power of a container from recent observations only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObservedPower {
    /// The power; unknown unless the last listing succeeded and contained it.
    pub power: PowerState,
    /// When it was last observed.
    pub observed_at: Option<Timestamp>,
    /// Whether that is older than it should be, or a later listing failed.
    pub stale: bool,
}

/// The power of a container that follows from `live` at `now`. [`observe`] keeps an old observation for a while so that
/// lists do not flicker; this function answers a question about the power alone and returns an old observation only as
/// unknown.
pub fn observed_power(live: &Live, now: Timestamp, fresh: Freshness) -> ObservedPower {
    let nothing = Facts::default();
    let facts = match live {
        Live::Facts(facts) => facts,
        Live::Unreadable => &nothing,
    };
    let host = facts.host.as_ref();
    let is_current = |host: &&HostFacts| {
        now.since(host.observed_at) <= fresh.host && facts.observation_failed_at.is_none_or(|at| at <= host.observed_at)
    };
    let current = host.filter(is_current).map(|host| (host.power, host.observed_at));
    let agent = facts.agent.as_ref().filter(|agent| now.since(agent.observed_at) <= fresh.agent);
    ObservedPower {
        power: believed_power(current, agent.map(|agent| agent.observed_at)),
        observed_at: host.map(|host| host.observed_at),
        stale: current.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::status::{AgentStatus, HostStatus, ServerStatus};
    use super::*;

    const FRESH: Freshness = Freshness::of_intervals(Duration::from_secs(5), Duration::from_secs(10));

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn report(state: AgentState, crash_count: u32) -> AgentReport {
        AgentReport {
            state,
            install_step: Some("download".to_owned()),
            install_progress: None,
            crash_count,
            error: None,
            generation: None,
        }
    }

    fn facts(agent_at: i64, host_at: i64) -> Facts {
        let agent = AgentFacts { observed_at: at(agent_at), report: Some(report(AgentState::Running, 2)), ready: None };
        Facts {
            history: Some(AgentHistory::after(None, Some(&agent), at(agent_at))),
            agent: Some(agent),
            host: Some(HostFacts { observed_at: at(host_at), power: PowerState::Running, node: NodeName::new("pve1") }),
            observation_failed_at: None,
            router_polled_at: None,
        }
    }

    #[test]
    fn power_is_known_only_while_the_last_listing_succeeded_and_is_fresh() {
        let seen = |facts: &Facts, now| observed_power(&Live::Facts(facts.clone()), at(now), FRESH);
        let running = |at| ObservedPower { power: PowerState::Running, observed_at: Some(at), stale: false };
        let unknown = |at| ObservedPower { power: PowerState::Unknown, observed_at: at, stale: true };
        let looked = facts(100, 100);
        assert_eq!((seen(&looked, 130), seen(&looked, 131)), (running(at(100)), unknown(Some(at(100)))));
        let failed = |failed_at| Facts { observation_failed_at: Some(at(failed_at)), ..facts(100, 100) };
        // Of two processes that list, the listing that began later counts.
        assert_eq!((seen(&failed(99), 102), seen(&failed(101), 102)), (running(at(100)), unknown(Some(at(100)))));
        assert_eq!(seen(&Facts::default(), 102), unknown(None));
        assert_eq!(observed_power(&Live::Unreadable, at(102), FRESH), unknown(None));
        let listed = observe(InstanceKind::Game, &Live::Facts(failed(101)), at(102), FRESH);
        assert_eq!(listed.power, PowerState::Running, "a list does not flicker");
    }

    #[test]
    fn fresh_facts_are_shown_as_they_are() {
        let seen = observe(InstanceKind::Game, &Live::Facts(facts(100, 101)), at(102), FRESH);
        assert_eq!((seen.merged.status, seen.crash_count, seen.stale), (ServerStatus::Running, 2, false));
        assert_eq!((seen.last_seen, seen.observed_at), (Some(at(100)), Some(at(101))));
        assert_eq!(seen.install_step.as_deref(), Some("download"));
    }

    #[test]
    fn an_agent_that_does_not_answer_polls_goes_offline() {
        let mut facts = facts(100, 116);
        facts.history = Some(AgentHistory::after(facts.history.as_ref(), None, at(115)));
        let seen = observe(InstanceKind::Game, &Live::Facts(facts.clone()), at(115), FRESH);
        assert_eq!(seen.merged.status, ServerStatus::Running);
        let seen = observe(InstanceKind::Game, &Live::Facts(facts.clone()), at(116), FRESH);
        assert_eq!((seen.merged.status, seen.merged.agent), (ServerStatus::Stopped, AgentStatus::Offline));
        assert_eq!((seen.crash_count, seen.last_seen), (2, Some(at(100))));
        // No one polls it any more: its state is unknown, which is not offline.
        let seen = observe(InstanceKind::Game, &Live::Facts(facts), at(131), FRESH);
        assert_eq!((seen.merged.status, seen.stale), (ServerStatus::Unknown, true));
    }

    #[test]
    fn an_unreachable_hypervisor_leaves_the_last_power_for_a_while() {
        let seen = observe(InstanceKind::Dev, &Live::Facts(facts(100, 100)), at(160), FRESH);
        assert_eq!((seen.merged.status, seen.stale), (ServerStatus::Running, true));
        let seen = observe(InstanceKind::Dev, &Live::Facts(facts(100, 100)), at(401), FRESH);
        assert_eq!((seen.merged.status, seen.power), (ServerStatus::Unknown, PowerState::Unknown));
    }

    #[test]
    fn without_live_state_everything_is_unknown_and_stale() {
        for kind in InstanceKind::ALL {
            let seen = observe(*kind, &Live::Unreadable, at(1), FRESH);
            assert_eq!(seen.merged.status, ServerStatus::Unknown);
            assert_eq!((seen.merged.host, seen.stale), (HostStatus::Offline, true));
        }
    }

    #[test]
    fn crashes_are_counted_over_restarts_of_the_agent() {
        let counts = [0, 1, 1, 3, 0, 0, 2].iter().scan(CrashCount::default(), |count, reported| {
            *count = count.after(*reported);
            Some(count.total)
        });
        assert_eq!(counts.collect::<Vec<_>>(), [0, 1, 1, 3, 3, 3, 5]);
    }

    proptest! {
        #[test]
        fn the_crash_count_never_goes_down_and_repeating_a_report_changes_nothing(reports in prop::collection::vec(any::<u32>(), 0..20)) {
            let mut count = CrashCount::default();
            for reported in reports {
                let next = count.after(reported);
                prop_assert!(next.total >= count.total && next.total >= reported);
                prop_assert_eq!(next.after(reported), next);
                count = next;
            }
        }
    }
}
