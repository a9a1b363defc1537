//! What was last observed of one server, and what follows from it at a given moment. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::status::{AgentSignal, MergedStatus, believed_power, merge};
use crate::db::entities::instance::InstanceKind;
use crate::kernel::Timestamp;
use crate::ports::{AgentReport, NodeName, PowerState};

/// How long the hypervisor's last word about a container is believed while it cannot be asked again.
const POWER_TRUST: Duration = Duration::from_secs(300);

/// The last answer of an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentFacts {
    /// When it answered.
    pub observed_at: Timestamp,
    /// What it said of itself; absent when it answered without saying.
    pub report: Option<AgentReport>,
    /// Whether the workload accepts visitors; absent when it does not run or the agent cannot tell.
    pub ready: Option<bool>,
}

/// What is remembered of an agent beyond its last answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentHistory {
    /// When it was last asked, with or without success.
    pub asked_at: Timestamp,
    /// When it last answered.
    pub seen_at: Option<Timestamp>,
    /// How often its workload ended by itself.
    pub crashes: CrashCount,
}

/// Counts crashes over restarts of an agent, which starts to count from zero each time. Never goes down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashCount {
    /// All of them.
    pub total: u32,
    /// What the agent said last.
    pub reported: u32,
}

impl CrashCount {
    /// The count after the agent said `reported`. The same report twice counts once.
    #[must_use]
    pub const fn after(self, reported: u32) -> Self {
        let fresh = if reported >= self.reported { reported - self.reported } else { reported };
        Self { total: self.total.saturating_add(fresh), reported }
    }
}

impl AgentHistory {
    /// The history after the agent was asked at `now` and gave `answer`.
    pub fn after(before: Option<&Self>, answer: Option<&AgentFacts>, now: Timestamp) -> Self {
        let crashes = before.map_or(CrashCount::default(), |history| history.crashes);
        let report = answer.and_then(|facts| facts.report.as_ref());
        Self {
            asked_at: now,
            seen_at: answer.map(|facts| facts.observed_at).or(before.and_then(|history| history.seen_at)),
            crashes: report.map_or(crashes, |report| crashes.after(report.crash_count)),
        }
    }
}

/// What the hypervisor last said of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostFacts {
    /// When it was asked.
    pub observed_at: Timestamp,
    /// The power of the container.
    pub power: PowerState,
    /// The node it is on.
    pub node: NodeName,
}

/// Everything that was last observed of one server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The last answer of its agent.
    pub agent: Option<AgentFacts>,
    /// What is remembered of its agent.
    pub history: Option<AgentHistory>,
    /// Its container.
    pub host: Option<HostFacts>,
    /// When the last look at the hypervisor that failed began.
    pub observation_failed_at: Option<Timestamp>,
}

/// The facts about a server, if they could be read.
#[derive(Clone, Debug, PartialEq)]
pub enum Live {
    /// They could.
    Facts(Facts),
    /// The live state did not answer.
    Unreadable,
}

/// How long observations count.
#[derive(Clone, Copy, Debug)]
pub struct Freshness {
    /// How old an agent's answer may be: three intervals of the poller.
    pub agent: Duration,
    /// How old the hypervisor's listing may be before it is called stale.
    pub host: Duration,
}

impl Freshness {
    /// What suits agents that are polled every `agents` and a hypervisor that is asked every `hosts`.
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
    /// Whether its workload accepts visitors, as far as the agent can tell.
    pub ready: Option<bool>,
    /// The installation step at work.
    pub install_step: Option<String>,
    /// How often its workload ended by itself.
    pub crash_count: u32,
    /// When its agent last answered.
    pub last_seen: Option<Timestamp>,
    /// When the newest of these facts was observed.
    pub observed_at: Option<Timestamp>,
    /// Whether the facts are older than they should be, or missing.
    pub stale: bool,
}

/// What `live` says at `now` about a server of this kind.
pub fn observe(kind: InstanceKind, live: &Live, now: Timestamp, fresh: Freshness) -> Observation {
    let nothing = Facts::default();
    let (facts, readable) = match live {
        Live::Facts(facts) => (facts, true),
        Live::Unreadable => (&nothing, false),
    };
    let agent = facts.agent.as_ref().filter(|agent| now.since(agent.observed_at) <= fresh.agent);
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
    }
}

/// The power of a container, by what was seen of it lately and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObservedPower {
    /// The power; unknown unless the last look told it.
    pub power: PowerState,
    /// When it was last told.
    pub observed_at: Option<Timestamp>,
    /// Whether that is longer ago than it should be, or a later look failed.
    pub stale: bool,
}

/// What `live` says at `now` of the power of a container. Unlike [`observe`], which lets the hypervisor's old word stand
/// so that a list does not flicker, this answers a question about nothing else, and does not pass an old word for a new.
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
    use crate::ports::AgentState;

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
        }
    }

    #[test]
    fn power_is_told_only_while_the_last_look_told_it() {
        let seen = |facts: &Facts, now| observed_power(&Live::Facts(facts.clone()), at(now), FRESH);
        let running = |at| ObservedPower { power: PowerState::Running, observed_at: Some(at), stale: false };
        let unknown = |at| ObservedPower { power: PowerState::Unknown, observed_at: at, stale: true };
        let looked = facts(100, 100);
        assert_eq!((seen(&looked, 130), seen(&looked, 131)), (running(at(100)), unknown(Some(at(100)))));
        let failed = |failed_at| Facts { observation_failed_at: Some(at(failed_at)), ..facts(100, 100) };
        // Of two processes that look, the one that began later knows better.
        assert_eq!((seen(&failed(99), 102), seen(&failed(101), 102)), (running(at(100)), unknown(Some(at(100)))));
        assert_eq!(seen(&Facts::default(), 102), unknown(None));
        assert_eq!(observed_power(&Live::Unreadable, at(102), FRESH), unknown(None));
        let listed = observe(InstanceKind::Game, &Live::Facts(failed(101)), at(102), FRESH);
        assert_eq!(listed.power, PowerState::Running, "a list does not flicker");
    }

    #[test]
    fn fresh_facts_say_what_they_say() {
        let seen = observe(InstanceKind::Game, &Live::Facts(facts(100, 101)), at(102), FRESH);
        assert_eq!((seen.merged.status, seen.crash_count, seen.stale), (ServerStatus::Running, 2, false));
        assert_eq!((seen.last_seen, seen.observed_at), (Some(at(100)), Some(at(101))));
        assert_eq!(seen.install_step.as_deref(), Some("download"));
    }

    #[test]
    fn an_agent_that_is_asked_and_does_not_answer_goes_offline() {
        let mut facts = facts(100, 116);
        facts.history = Some(AgentHistory::after(facts.history.as_ref(), None, at(115)));
        let seen = observe(InstanceKind::Game, &Live::Facts(facts.clone()), at(115), FRESH);
        assert_eq!(seen.merged.status, ServerStatus::Running);
        let seen = observe(InstanceKind::Game, &Live::Facts(facts.clone()), at(116), FRESH);
        assert_eq!((seen.merged.status, seen.merged.agent), (ServerStatus::Stopped, AgentStatus::Offline));
        assert_eq!((seen.crash_count, seen.last_seen), (2, Some(at(100))));
        // Nobody asks any more: nothing is known, which is not the same.
        let seen = observe(InstanceKind::Game, &Live::Facts(facts), at(131), FRESH);
        assert_eq!((seen.merged.status, seen.stale), (ServerStatus::Unknown, true));
    }

    #[test]
    fn an_unreachable_hypervisor_leaves_the_old_word_standing_for_a_while() {
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
