//! The client of the bridge against the simulated Velocity: every rule and pitfall of docs/contracts/edge.md C1 to C3.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use zpack::adapters::velocity::{Velocity, VelocitySettings};
use zpack::edge::{ProxyChange, ProxyVerdict, Registration, compare_proxy};
use zpack::kernel::{Classify, Clock, Failure, Reach, Secret};
use zpack::ports::{GameProxy, ProxyError, Unregistered};

use super::scripted::{Act, Scripted, answer, unused_address};
use super::velocity_kit::{Rig, backend, name};

const FQDN: &str = "mc-paper-5001.play.test";

fn pair(name: &str, address: &str) -> (String, String) {
    (name.to_owned(), address.to_owned())
}

fn scripted(server: &Scripted) -> Velocity {
    let (secret, timeout) = (Secret::new("what both sides know").into(), Duration::from_millis(1500));
    Velocity::new(
        &VelocitySettings {
            reach: Reach::Loopback,
            base_url: server.url(),
            secret,
            timeout,
            cool_down: Duration::ZERO,
        },
        Clock::System,
    )
    .unwrap()
}

#[tokio::test]
async fn a_server_is_registered_once_under_its_canonical_name() {
    let rig = Rig::new().await;
    let proxy = rig.proxy();
    for _ in 0..3 {
        proxy.register(&name("MC-Paper-5001.Play.Test."), backend("10.0.0.1")).await.unwrap();
    }
    let canonical = name(FQDN);
    let again = join_all((0..5).map(|_| proxy.register(&canonical, backend("10.0.0.1")))).await;
    assert!(again.iter().all(Result::is_ok), "{again:?}");
    assert_eq!(rig.registered().await, [pair(FQDN, "10.0.0.1")]);
    assert!(rig.requests().await.iter().all(|request| request == "POST /zpack/register"), "nothing had to be replaced");

    let listing = proxy.list().await.unwrap();
    assert!(listing.boot_id.is_some() && listing.uptime.is_some());
    let wanted = Registration { name: name(FQDN), address: backend("10.0.0.1") };
    assert_eq!(compare_proxy(&wanted, &listing.servers), (ProxyVerdict::InSync, Vec::new()));
}

#[tokio::test]
async fn another_address_or_spelling_is_replaced() {
    for (spelling, address) in [(FQDN, "10.0.0.9"), ("MC-Paper-5001.play.test", "10.0.0.1")] {
        let rig = Rig::new().await;
        rig.plant(spelling, address).await;
        rig.proxy().register(&name(FQDN), backend("10.0.0.1")).await.unwrap();
        assert_eq!(rig.registered().await, [pair(FQDN, "10.0.0.1")], "{spelling} {address}");
        let register = "POST /zpack/register";
        let expected = [register, register, "GET /zpack/status", "POST /zpack/unregister", register];
        assert_eq!(rig.requests().await, expected);
    }
}

#[tokio::test]
async fn a_registration_under_the_short_name_is_removed_despite_a_404() {
    let rig = Rig::new().await;
    rig.plant("mc-paper-5001", "10.0.0.1").await;
    rig.plant("mc-paper-50", "10.0.0.2").await;
    assert_eq!(rig.proxy().unregister(FQDN).await.unwrap(), Unregistered::Removed);
    assert_eq!(rig.registered().await, [pair("mc-paper-50", "10.0.0.2")], "only its own");
    rig.plant("MC-PAPER-5001.play.test", "10.0.0.1").await;
    assert_eq!(rig.proxy().unregister(FQDN).await.unwrap(), Unregistered::Removed);
    assert_eq!(rig.registered().await.len(), 1);
}

#[tokio::test]
async fn removing_twice_reports_that_it_was_gone() {
    let rig = Rig::new().await;
    let proxy = rig.proxy();
    proxy.register(&name(FQDN), backend("10.0.0.1")).await.unwrap();
    assert_eq!(proxy.unregister(FQDN).await.unwrap(), Unregistered::Removed);
    assert_eq!(proxy.unregister(FQDN).await.unwrap(), Unregistered::WasGone);
    let asked = rig.requests().await;
    assert_eq!(asked.last().unwrap(), "GET /zpack/status", "the 404 was looked up: {asked:?}");

    proxy.register(&name(FQDN), backend("10.0.0.1")).await.unwrap();
    rig.plant("mc-paper-5001", "10.0.0.1").await;
    assert_eq!(proxy.unregister(FQDN).await.unwrap(), Unregistered::Removed);
    assert!(rig.registered().await.is_empty(), "the older form went with it");
}

#[tokio::test]
async fn a_failing_listing_does_not_count_as_empty() {
    let rig = Rig::new().await;
    let proxy = rig.proxy();
    for fault in [
        json!({"action": "status", "status": 500}),
        json!({"action": "html"}),
        json!({"action": "timeout"}),
        json!({"action": "reset"}),
        json!({"action": "truncate"}),
        json!({"action": "status", "status": 200, "body": {"servers": [{"name": "a"}, {}]}}),
        json!({"action": "html", "status": 200}),
    ] {
        rig.plant("mc-paper-5001", "10.0.0.1").await;
        for times in 1..=2 {
            let mut plan = fault.clone();
            plan["peer"] = json!("velocity");
            plan["path"] = json!("/zpack/status");
            plan["when"] = json!("before");
            rig.steer("/sim/faults", plan).await;
            if times == 1 {
                let error = proxy.list().await.unwrap_err();
                assert!(!matches!(error, ProxyError::Unsupported { .. }), "{fault}: {error}");
            } else {
                let error = proxy.unregister(FQDN).await.unwrap_err();
                assert_ne!(error.failure(), Failure::Permanent, "{fault}: {error}");
            }
        }
        assert_eq!(rig.registered().await.len(), 1, "{fault}");
        assert_eq!(proxy.unregister(FQDN).await.unwrap(), Unregistered::Removed, "{fault}");
    }
}

#[tokio::test]
async fn a_failed_change_succeeds_when_repeated() {
    let rig = Rig::new().await;
    let proxy = rig.proxy();
    for when in ["before", "after"] {
        for action in ["status", "timeout", "reset", "truncate", "html"] {
            for (route, failing) in [("/zpack/register", true), ("/zpack/unregister", false)] {
                proxy.register(&name(FQDN), backend("10.0.0.1")).await.unwrap();
                let plan = json!({"peer": "velocity", "path": route, "when": when, "action": action, "status": 502});
                rig.steer("/sim/faults", plan).await;
                let case = format!("{route} {action} {when}");
                let outcome = match failing {
                    true => proxy.register(&name(FQDN), backend("10.0.0.1")).await,
                    false => proxy.unregister(FQDN).await.map(drop),
                };
                let error = outcome.expect_err(&case);
                assert_eq!(error.failure(), Failure::Ambiguous, "{case}: {error}");
                // The immediate retry is not skipped.
                proxy.register(&name(FQDN), backend("10.0.0.1")).await.expect(&case);
                assert_eq!(rig.registered().await, [pair(FQDN, "10.0.0.1")], "{case}");
                proxy.unregister(FQDN).await.expect(&case);
                assert!(rig.registered().await.is_empty(), "{case}");
            }
        }
    }
}

#[tokio::test]
async fn a_restarted_proxy_is_detected_by_its_boot_id_and_registered_again() {
    let rig = Rig::new().await;
    let proxy = rig.proxy();
    let names: Vec<_> = (1..=5).map(|n| name(&format!("mc-{n}.play.test"))).collect();
    for name in &names {
        proxy.register(name, backend("10.0.0.1")).await.unwrap();
    }
    let before = proxy.list().await.unwrap();
    rig.steer("/sim/velocity/restart", Value::Null).await;
    let after = proxy.list().await.unwrap();
    assert!(after.servers.is_empty() && after.boot_id.is_some() && after.boot_id != before.boot_id);
    for name in &names {
        let wanted = Registration { name: name.clone(), address: backend("10.0.0.1") };
        let (verdict, changes) = compare_proxy(&wanted, &after.servers);
        assert_eq!((verdict, changes), (ProxyVerdict::Missing, vec![ProxyChange::Register(wanted)]));
        proxy.register(name, backend("10.0.0.1")).await.unwrap();
    }
    assert_eq!(proxy.list().await.unwrap().servers.len(), 5);
}

#[tokio::test]
async fn the_changes_of_a_comparison_can_be_applied() {
    let rig = Rig::new().await;
    let proxy = rig.proxy();
    rig.plant("mc-paper-5001", "10.0.0.1").await;
    rig.plant("MC-PAPER-5001.play.test", "10.0.0.7").await;
    let wanted = Registration { name: name(FQDN), address: backend("10.0.0.1") };
    let (_, changes) = compare_proxy(&wanted, &proxy.list().await.unwrap().servers);
    for change in changes {
        match change {
            ProxyChange::Unregister(spelling) => drop(proxy.unregister(&spelling).await.unwrap()),
            ProxyChange::Register(server) => proxy.register(&server.name, server.address).await.unwrap(),
        }
    }
    assert_eq!(rig.registered().await, [pair(FQDN, "10.0.0.1")]);
    let listed = proxy.list().await.unwrap().servers;
    assert_eq!(compare_proxy(&wanted, &listed), (ProxyVerdict::InSync, Vec::new()));
}

#[tokio::test]
async fn older_bridges_are_supported() {
    let rig = Rig::new().await;
    let proxy = rig.proxy();
    rig.steer("/sim/velocity", json!({"bridge": "older"})).await;
    rig.plant("mc-paper-5001", "10.0.0.1").await;
    let listing = proxy.list().await.unwrap();
    assert_eq!((listing.boot_id, listing.servers.len(), listing.servers[0].address), (None, 1, None));
    assert_eq!(proxy.unregister(FQDN).await.unwrap(), Unregistered::Removed);

    for bridge in ["older", "bare"] {
        rig.steer("/sim/velocity", json!({"bridge": bridge})).await;
        rig.plant(FQDN, "10.0.0.9").await;
        proxy.register(&name(FQDN), backend("10.0.0.1")).await.unwrap();
        assert_eq!(rig.registered().await, [pair(FQDN, "10.0.0.1")], "{bridge}");
        assert_eq!(proxy.unregister(FQDN).await.unwrap(), Unregistered::Removed);
        assert_eq!(proxy.unregister(FQDN).await.unwrap(), Unregistered::WasGone);
    }
    let error = proxy.list().await.unwrap_err();
    assert!(matches!(error, ProxyError::Unsupported { .. }), "{error}");
}

/// C1: an unknown name is a 404. So is everything at an address that does not lead to a bridge.
#[tokio::test]
async fn a_404_counts_only_from_a_proven_bridge() {
    let elsewhere = Scripted::always("404 Not Found", "no such page").await;
    for _ in 0..2 {
        let error = scripted(&elsewhere).unregister(FQDN).await.unwrap_err();
        assert!(matches!(error, ProxyError::Misconfigured { .. }), "{error:?}");
        assert_eq!(error.failure(), Failure::NeedsOperator);
        assert!(error.to_string().contains("is VELOCITY_URL right?"), "{error}");
    }
    let rig = Rig::new().await;
    // A bridge with a listing proves itself by it, also to a new process.
    for bridge in ["current", "older"] {
        rig.steer("/sim/velocity", json!({"bridge": bridge})).await;
        assert_eq!(rig.proxy().unregister(FQDN).await.unwrap(), Unregistered::WasGone, "{bridge}");
    }
    // A bridge without one has to answer a call with success first.
    rig.steer("/sim/velocity", json!({"bridge": "bare"})).await;
    let proxy = rig.proxy();
    assert!(matches!(proxy.unregister(FQDN).await, Err(ProxyError::Misconfigured { .. })));
    proxy.register(&name("mc-paper-5002.play.test"), backend("10.0.0.2")).await.unwrap();
    assert_eq!(proxy.unregister(FQDN).await.unwrap(), Unregistered::WasGone);
    let fresh = rig.proxy();
    assert_eq!(
        fresh.unregister("mc-paper-5002.play.test").await.unwrap(),
        Unregistered::Removed,
        "that is a proof, too"
    );
    assert_eq!(fresh.unregister(FQDN).await.unwrap(), Unregistered::WasGone);
}

#[tokio::test]
async fn a_wrong_secret_needs_an_operator_and_two_are_accepted_during_a_change() {
    let rig = Rig::new().await;
    let old = rig.world.velocity().secret();
    let new = "the secret that comes next";
    for error in [
        rig.proxy_with(new).list().await.unwrap_err(),
        rig.proxy_with(new).register(&name(FQDN), backend("10.0.0.1")).await.unwrap_err(),
        rig.proxy_with(new).unregister(FQDN).await.unwrap_err(),
    ] {
        assert!(matches!(error, ProxyError::Unauthorized { .. }), "{error}");
        assert_eq!(error.failure(), Failure::NeedsOperator);
    }
    assert_eq!(rig.requests().await.len(), 3, "one attempt each");
    let cut = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 500\r\n\r\nno".to_vec();
    let broken = Scripted::start(move |_, _| Act::SendAndClose(cut.clone())).await;
    let error = scripted(&broken).unregister(FQDN).await.unwrap_err();
    assert!(matches!(error, ProxyError::Unauthorized { .. }), "its status says enough: {error}");
    rig.steer("/sim/velocity", json!({"secrets": [old, new]})).await;
    for secret in [old.as_str(), new] {
        rig.proxy_with(secret).register(&name(FQDN), backend("10.0.0.1")).await.unwrap();
    }
}

#[tokio::test]
async fn the_secret_is_sent_only_as_a_hash_in_a_header() {
    let server = Scripted::always("200 OK", r#"{"servers":[]}"#).await;
    let proxy = scripted(&server);
    proxy.list().await.unwrap();
    proxy.register(&name(FQDN), backend("10.0.0.1")).await.unwrap();
    proxy.unregister(FQDN).await.unwrap();
    let hash = Secret::new("what both sides know").digest();
    assert_eq!(server.seen().len(), 4, "the last one is the look at what is left");
    for seen in server.seen() {
        assert_eq!(seen.header("x-zpack-secret"), Some(hash.expose()));
        assert!(!seen.target.contains('?') && !seen.body.contains(hash.expose()) && !seen.body.contains("know"));
        assert_eq!(seen.header("authorization"), None);
    }
    let shown = format!("{proxy:?}");
    assert!(!shown.contains(hash.expose()) && !shown.contains("know"), "{shown}");
    let sent: Vec<Value> = server.seen()[1..3].iter().map(|seen| serde_json::from_str(&seen.body).unwrap()).collect();
    let register = json!({"server_name": FQDN, "address": "10.0.0.1", "port": 25_565});
    assert_eq!(sent, [register, json!({"server_name": FQDN})]);
}

#[tokio::test]
async fn refusals_and_lost_answers_are_distinguished() {
    let unreachable = {
        let address = unused_address().await;
        let base_url = format!("http://{address}").parse().unwrap();
        let (secret, timeout) = (Secret::new("what both sides know").into(), Duration::from_millis(1500));
        Velocity::new(
            &VelocitySettings { reach: Reach::Loopback, base_url, secret, timeout, cool_down: Duration::ZERO },
            Clock::System,
        )
        .unwrap()
    };
    let error = unreachable.register(&name(FQDN), backend("10.0.0.1")).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Transient, "{error}");

    for (status, class) in [
        ("400 Bad Request", Failure::Permanent),
        ("429 Too Many Requests", Failure::Busy),
        ("503 Service Unavailable", Failure::Busy),
        ("502 Bad Gateway", Failure::Ambiguous),
    ] {
        let server = Scripted::start(move |_, seen| {
            Act::Send(if seen.method == "GET" { answer("200 OK", r#"{"servers":[]}"#) } else { answer(status, "no") })
        })
        .await;
        let error = scripted(&server).register(&name(FQDN), backend("10.0.0.1")).await.unwrap_err();
        assert_eq!(error.failure(), class, "{status}: {error}");
        let writes = server.seen().iter().filter(|seen| seen.method == "POST").count();
        assert_eq!(writes, 1, "{status}: a refusal that nothing explains is not repeated");
    }
}

#[tokio::test]
async fn a_name_that_keeps_being_registered_elsewhere_is_contested() {
    let listing = r#"{"boot_id":"b","servers":[{"name":"mc-paper-5001.play.test","address":"10.0.0.9","port":25565}]}"#;
    let server = Scripted::start(move |_, seen| {
        Act::Send(match (seen.method.as_str(), seen.path()) {
            ("GET", _) => answer("200 OK", listing),
            (_, "/zpack/unregister") => answer("200 OK", "{}"),
            _ => answer("409 Conflict", "already registered"),
        })
    })
    .await;
    let error = scripted(&server).register(&name(FQDN), backend("10.0.0.1")).await.unwrap_err();
    assert!(matches!(error, ProxyError::Contested { .. }), "{error}");
    assert_eq!((error.failure(), server.seen().len()), (Failure::Transient, 4));
}

#[tokio::test]
async fn a_refused_registration_that_exists_is_a_success() {
    let listing = r#"{"servers":[{"name":"mc-paper-5001.play.test","address":"10.0.0.1","port":25565}]}"#;
    let server = Scripted::start(move |_, seen| {
        Act::Send(if seen.method == "GET" { answer("200 OK", listing) } else { answer("500 Oops", "IllegalArgument") })
    })
    .await;
    scripted(&server).register(&name(FQDN), backend("10.0.0.1")).await.unwrap();
    assert_eq!(server.seen().len(), 2);
}
