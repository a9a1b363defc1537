//! The rules of the table, checked over all combinations.

use std::collections::BTreeSet;

use super::*;

type Row = (Readiness, EdgeState, ProxyPresence, PingState);

fn rows() -> impl Iterator<Item = Row> {
    let pings = |readiness, edge, proxy| PingState::ALL.iter().map(move |ping| (readiness, edge, proxy, *ping));
    let proxies =
        move |readiness, edge| ProxyPresence::ALL.iter().flat_map(move |proxy| pings(readiness, edge, *proxy));
    let edges = move |readiness| EdgeState::ALL.iter().flat_map(move |edge| proxies(readiness, *edge));
    Readiness::ALL.iter().flat_map(move |readiness| edges(*readiness))
}

fn of((readiness, edge, proxy, ping): Row) -> Connection {
    connection(readiness, edge, proxy, ping)
}

#[test]
fn connectable_requires_all_four_observations() {
    let mut connectable = 0;
    for row in rows() {
        let (readiness, edge, proxy, ping) = row;
        let serves = readiness == Readiness::Ready || (readiness == Readiness::Unknown && ping == PingState::Answered);
        let reached = matches!(proxy, ProxyPresence::Registered | ProxyPresence::NotNeeded)
            && matches!(ping, PingState::Answered | PingState::Silent | PingState::NotNeeded);
        let expected = serves && edge == EdgeState::Published && reached;
        assert_eq!(of(row).state == ConnectionState::Connectable, expected, "{row:?}");
        connectable += usize::from(expected);
    }
    assert_eq!(connectable, 8);
}

#[test]
fn every_other_state_has_reasons_without_duplicates() {
    for row in rows() {
        let Connection { state, reasons } = of(row);
        assert!(state == ConnectionState::Connectable || !reasons.is_empty(), "{row:?}");
        assert_eq!(reasons.iter().collect::<BTreeSet<_>>().len(), reasons.len(), "{row:?}");
    }
}

#[test]
fn every_state_and_every_reason_is_reached() {
    let states: BTreeSet<_> = rows().map(|row| of(row).state).collect();
    let reasons: BTreeSet<_> = rows().flat_map(|row| of(row).reasons).collect();
    assert!(states.iter().eq(ConnectionState::ALL) && reasons.iter().eq(ConnectionReason::ALL));
}

#[test]
fn a_better_observation_never_makes_the_state_worse() {
    for (readiness, edge, proxy, ping) in rows() {
        let before = connection(readiness, edge, proxy, ping).state;
        let answered = connection(readiness, edge, proxy, PingState::Answered).state;
        assert!(answered <= before, "a ping was answered: {readiness} {edge} {proxy} {ping}");
        let registered = connection(readiness, edge, ProxyPresence::Registered, ping).state;
        assert!(registered <= before, "it was registered: {readiness} {edge} {proxy} {ping}");
        let published =
            connection(readiness, EdgeState::Published, ProxyPresence::Registered, PingState::Answered).state;
        assert!(published <= before, "everything else is fine: {readiness} {edge} {proxy} {ping}");
    }
}

#[test]
fn a_server_that_does_not_serve_gives_only_that_reason() {
    for row in rows() {
        if !matches!(row.0, Readiness::Ready | Readiness::Unknown) {
            assert_eq!(of(row).reasons.len(), 1, "{row:?}");
        }
    }
}

#[test]
fn messages_for_customers_name_no_internals() {
    let internal = ["velocity", "agent", "proxmox", "cloudflare", "technitium", "dns", "container", "traefik", "proxy"];
    for reason in ConnectionReason::ALL {
        let words = reason.message().to_lowercase();
        assert!(words.ends_with('.') && !internal.iter().any(|word| words.contains(word)), "{words}");
    }
}

#[test]
fn a_server_that_runs_without_serving_is_starting() {
    use crate::db::entities::instance::InstanceKind;
    use crate::kernel::Timestamp;
    use crate::observe::facts::{AgentFacts, AgentHistory, Facts, Freshness, HostFacts, Live, observe};
    use crate::ports::{AgentReport, AgentState, NodeName, PowerState};
    use std::time::Duration;

    let now = Timestamp::from_millis(1_000_000);
    let fresh = Freshness::of_intervals(Duration::from_secs(5), Duration::from_secs(10));
    let seen = |state, ready| {
        let report = AgentReport::of(state);
        let agent = AgentFacts { observed_at: now, report: Some(report), ready };
        let history = AgentHistory::after(None, Some(&agent), now);
        let host = HostFacts { observed_at: now, power: PowerState::Running, node: NodeName::new("pve1") };
        let facts = Facts {
            agent: Some(agent),
            history: Some(history),
            host: Some(host),
            observation_failed_at: None,
            router_polled_at: None,
        };
        Readiness::of(&observe(InstanceKind::Game, &Live::Facts(facts), now, fresh))
    };
    for (state, ready, expected) in [
        (AgentState::Running, Some(true), Readiness::Ready),
        (AgentState::Running, None, Readiness::Ready),
        (AgentState::Running, Some(false), Readiness::Starting),
        (AgentState::Starting, None, Readiness::Starting),
        (AgentState::Installing, None, Readiness::Installing),
        (AgentState::Stopping, None, Readiness::Stopping),
        (AgentState::Stopped, None, Readiness::Stopped),
        (AgentState::Idle, None, Readiness::NotInstalled),
        (AgentState::Crashed, None, Readiness::Crashed),
        (AgentState::Error, None, Readiness::Failed),
        (AgentState::Unknown, None, Readiness::Unknown),
    ] {
        assert_eq!(seen(state, ready), expected, "{state} {ready:?}");
    }
}
