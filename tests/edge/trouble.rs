//! Peers that refuse for long: rate limits, tokens, quotas, a zone that cannot be read, settings that lead elsewhere.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use zpack::edge::{EDGE_KEY, EdgeError, EdgeRecord, EdgeState, Target, TargetState};
use zpack::kernel::{DnsName, StoredSecret};
use zpack::ports::ZoneError;
use zpack::publishing::TargetSelection;
use zpack::router::Parts;
use zpack::servers::payload;

use super::kit::{EDGE, Means, Others, Scene, fault};
use crate::contracts::proxmox_kit;
use crate::support::app::INTERNAL;
use crate::support::door::Door;
use crate::support::logs::Logs;
use crate::support::parts::parts;
use crate::support::{PrivateRedis, artifacts, lists_at};

/// How long a refused token is not sent again.
const COOL_DOWN: Duration = Duration::from_secs(3600);

/// Case 9: the second call is refused, with the time after which to retry.
#[tokio::test]
async fn a_rate_limit_holds_for_every_caller_and_the_other_targets_continue() {
    let scene = Scene::in_its_time().await;
    let (one, two) = (scene.server(5013, "minecraft").await, scene.server(5014, "minecraft").await);
    scene
        .rig
        .steer("/sim/cloudflare/limits", json!({"requests": 1, "windowSeconds": 7, "retryAfter": "seconds"}))
        .await;
    let begun = scene.clock.now();
    let record = scene.publisher.publish(one, TargetSelection::All, None).await.unwrap().unwrap();
    assert_eq!(record.state(), EdgeState::Degraded, "{record:?}");
    let cloudflare = async || scene.rig.journal("cloudflare").await.len();
    assert_eq!(cloudflare().await, 2, "the zone was read, and the change was refused");
    let due = record.targets[&Target::Cloudflare].due_at.unwrap();
    let wait = due.since(begun);
    assert!((Duration::from_secs(6)..=Duration::from_secs(7)).contains(&wait), "as the service says: {wait:?}");
    // No other caller sends anything meanwhile; what blocks the others is unrelated.
    for peer in ["technitium", "velocity"] {
        scene.rig.fault(fault(peer, 1, "before", "status", Some(500))).await;
    }
    let other = scene.publisher.publish(two, TargetSelection::All, None).await.unwrap().unwrap();
    scene.faults_are_used_up("a second server").await;
    for target in [Target::Cloudflare, Target::Technitium, Target::Velocity] {
        assert_eq!(other.targets[&target].state, TargetState::Retrying, "{target}");
    }
    // Just before the end the reconciler finishes the other targets.
    scene.clock.advance(wait.saturating_sub(Duration::from_millis(1)));
    scene.reconcile().await;
    let other = scene.record(two).await;
    for target in [Target::Technitium, Target::Velocity] {
        assert_eq!(other.targets[&target].state, TargetState::Published, "{}", other.problems());
    }
    // An operator's request is not sent either.
    for vmid in [one, two] {
        let record = scene.publisher.publish(vmid, TargetSelection::All, None).await.unwrap().unwrap();
        assert_eq!(record.targets[&Target::Cloudflare].state, TargetState::Retrying);
        scene.publisher.verify(vmid).await.unwrap();
    }
    assert_eq!(cloudflare().await, 2, "no call within the span");
    // The window of the service is measured by another clock: it ends as well.
    scene.rig.steer("/sim/cloudflare/limits", json!({"requests": 1200})).await;
    scene.clock.advance(Duration::from_millis(1));
    scene.reconcile().await;
    for vmid in [one, two] {
        let record = scene.record(vmid).await;
        assert_eq!(record.state(), EdgeState::Published, "{}", record.problems());
    }
    assert_eq!(scene.zone("cloudflare").await.len(), 4);
}

/// Case 10: both DNS servers refuse our tokens, until there are others in their files.
#[tokio::test]
async fn a_refused_token_is_sent_once_and_again_when_its_file_has_a_good_one() {
    let (logs, folder) = (Logs::of_this_thread(), tempfile::tempdir().unwrap());
    let in_file = |stored: StoredSecret, name: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, stored.secret().expose()).unwrap();
        StoredSecret::in_file(stored.secret().clone(), file)
    };
    let scene = Scene::with(|means| Means {
        cloudflare: in_file(means.cloudflare, "cloudflare"),
        technitium: in_file(means.technitium, "technitium"),
        cool_down: COOL_DOWN,
        ..means
    })
    .await;
    let (one, two) = (scene.server(5013, "minecraft").await, scene.server(5014, "minecraft").await);
    let mut tokens = vec![scene.rig.world.cloudflare().token(), scene.rig.world.technitium().token()];
    for peer in ["cloudflare", "technitium"] {
        scene.rig.control("DELETE", &format!("/sim/{peer}/tokens"), Value::Null).await;
    }
    // One attempt in each cool-down, whatever the caller; Technitium is called in both ways to send a token.
    for spans in 1..=2 {
        for vmid in [one, two] {
            let record = scene.publisher.publish(vmid, TargetSelection::All, None).await.unwrap().unwrap();
            assert_eq!(record.state(), EdgeState::Degraded);
            for target in [Target::Cloudflare, Target::Technitium] {
                let record = &record.targets[&target];
                let error = record.error.as_ref().unwrap();
                assert_eq!(record.state, TargetState::Blocked, "{record:?}");
                assert!(error.contains("does not accept our token"), "{error}");
                assert!(tokens.iter().all(|token| !error.contains(token)), "{error}");
            }
            scene.reconcile().await;
        }
        let health = health(&scene).await;
        assert_eq!(health["ok"], false, "{health}");
        for target in health["targets"].as_array().unwrap() {
            let is_dns = target["target"] != "velocity";
            assert_eq!(target["healthy"], !is_dns, "{health}");
            let detail = target["detail"].as_str().unwrap_or_default();
            assert_eq!(detail.contains("does not accept our token") && detail.contains("operator"), is_dns, "{health}");
            assert!(tokens.iter().all(|token| !detail.contains(token)), "{health}");
        }
        for target in [Target::Cloudflare, Target::Technitium] {
            let refused = scene.publisher.targets.get(target).unwrap().check().await.unwrap_err();
            let unauthorized = matches!(&refused, EdgeError::Zone { source: ZoneError::Unauthorized { .. }, .. });
            assert!(unauthorized, "{refused}");
        }
        assert_eq!(scene.rig.journal("cloudflare").await.len(), spans);
        let journal = scene.rig.journal("technitium").await;
        assert_eq!(journal.len(), spans * 2);
        assert!(journal.iter().all(|entry| entry["query"] == json!([])), "nothing in an address: {journal:?}");
        scene.clock.advance(COOL_DOWN);
    }
    for peer in ["cloudflare", "technitium"] {
        let made = scene.rig.steer(&format!("/sim/{peer}/tokens"), json!({})).await;
        let token = made["token"].as_str().unwrap().to_owned();
        std::fs::write(folder.path().join(peer), &token).unwrap();
        tokens.push(token);
    }
    for vmid in [one, two] {
        assert_eq!(scene.settle(vmid).await.state(), EdgeState::Published);
    }
    assert_eq!(health(&scene).await["ok"], true);
    // The API runs in threads of its own, whose log is not captured: the same check in this thread.
    for target in [Target::Cloudflare, Target::Technitium] {
        scene.publisher.targets.get(target).unwrap().check().await.unwrap();
    }
    let said = logs.end();
    assert!(said.contains("called cloudflare") && said.contains("called technitium"), "the events were heard");
    let leak = said.lines().find(|line| tokens.iter().any(|token| line.contains(token)));
    assert_eq!(leak, None, "a token was logged");
}

/// What `GET /api/edge/health` says of the peers of `scene`.
pub(super) async fn health(scene: &Scene) -> Value {
    let redis = PrivateRedis::start();
    let lists = lists_at(redis.url());
    let door = Door::open(Parts {
        source: artifacts::at(&scene.rig.world.artifacts_url()),
        publisher: scene.publisher.clone(),
        hypervisor: Arc::new(proxmox_kit::client(scene.rig.world.proxmox_url().parse().unwrap())),
        ..parts(scene.db.db.clone(), lists, scene.clock.clone())
    });
    let answer = door.get("/api/edge/health").header("x-internal-token", INTERNAL).send().await.unwrap();
    let health = answer.json().await.unwrap();
    door.close().await;
    health
}

/// Case 11: what fits is kept however often the rest is retried, and an operator is notified once.
#[tokio::test]
async fn a_full_zone_keeps_what_fits_and_says_so() {
    let scene = Scene::in_its_time().await;
    let vmid = scene.server(5013, "minecraft").await;
    scene.rig.steer("/sim/cloudflare/plan", json!({"records": 1})).await;
    let record = scene.publisher.publish(vmid, TargetSelection::All, None).await.unwrap().unwrap();
    assert_eq!(record.state(), EdgeState::Degraded);
    // What the alert reads: one gauge for each target, however often it is retried.
    let blocked = async || zpack::publishing::blocked(&scene.db.db).await.unwrap();
    let address = scene.rig.state("cloudflare").await["records"].clone();
    assert_eq!((address.as_array().unwrap().len(), &address[0]["type"]), (1, &json!("A")), "by which players reach it");
    for attempts in 1..=4 {
        let cloudflare = &scene.record(vmid).await.targets[&Target::Cloudflare];
        assert_eq!((cloudflare.state, cloudflare.attempts), (TargetState::Blocked, attempts), "{cloudflare:?}");
        assert!(cloudflare.error.as_ref().unwrap().contains("quota"), "{cloudflare:?}");
        assert_eq!(blocked().await, [(Target::Cloudflare, 1)].into());
        assert_eq!(scene.rig.state("cloudflare").await["records"], address, "the very record stays");
        scene.clock.advance(Duration::from_secs(700));
        scene.reconcile().await;
    }
    scene.rig.steer("/sim/cloudflare/plan", json!({"records": 200})).await;
    scene.settle(vmid).await;
    scene.expect_clean(vmid, EDGE, &Others::default()).await;
    assert!(blocked().await.is_empty());
}

/// Case 11, the other quota of a plan: 9300 inside a general code. It does not end with time.
#[tokio::test]
async fn a_quota_of_tags_needs_an_operator_too() {
    let scene = Scene::in_its_time().await;
    let vmid = scene.server(5013, "minecraft").await;
    let chain = json!([{"code": 9300, "message": "DNS record has 1 tags, exceeding the quota of 0."}]);
    let errors = json!([{"code": 1004, "message": "DNS Validation Error", "error_chain": chain}]);
    let fault = json!({"peer": "cloudflare", "method": "POST", "when": "before", "action": "status", "status": 400,
        "body": {"success": false, "errors": errors, "messages": [], "result": null}, "times": 100});
    scene.rig.fault(fault).await;
    let mut record = scene.publisher.publish(vmid, TargetSelection::All, None).await.unwrap().unwrap();
    for attempts in 1..=2 {
        assert_eq!(record.state(), EdgeState::Degraded);
        let cloudflare = &record.targets[&Target::Cloudflare];
        assert_eq!((cloudflare.state, cloudflare.attempts), (TargetState::Blocked, attempts), "{cloudflare:?}");
        assert!(cloudflare.error.as_ref().unwrap().contains("9300"), "{cloudflare:?}");
        assert_eq!(zpack::publishing::blocked(&scene.db.db).await.unwrap(), [(Target::Cloudflare, 1)].into());
        scene.clock.advance(Duration::from_secs(700));
        scene.reconcile().await;
        record = scene.record(vmid).await;
    }
}

/// Case 18: a zone that cannot be read is not empty.
#[tokio::test]
async fn a_listing_that_is_cut_short_is_no_empty_zone() {
    let scene = Scene::new().await;
    let vmid = scene.server(5013, "minecraft").await;
    scene.publish(vmid).await;
    let written = scene.writes().await;
    let short = json!({"success": true, "errors": [], "messages": [], "result": [],
        "result_info": {"page": 1, "per_page": 5000, "count": 0, "total_count": 2, "total_pages": 1}});
    scene
        .rig
        .fault(json!({"peer": "cloudflare", "method": "GET", "when": "before", "action": "status", "status": 200,
        "body": short, "times": 9}))
        .await;
    let empty = json!({"status": "ok"});
    scene
        .rig
        .fault(json!({"peer": "technitium", "when": "before", "action": "status", "status": 200, "body": empty,
        "times": 9}))
        .await;
    let record = scene.publisher.publish(vmid, TargetSelection::All, None).await.unwrap().unwrap();
    for target in [Target::Cloudflare, Target::Technitium] {
        assert_eq!(record.targets[&target].state, TargetState::Retrying, "{target}");
    }
    assert_eq!(scene.writes().await, written);
    let withdrawn = scene.publisher.unpublish(vmid, None).await.unwrap().unwrap();
    assert_eq!(withdrawn.state(), EdgeState::Unpublishing, "not taken for gone");
    assert_eq!(scene.zone("cloudflare").await.len(), 2);
}

/// An address that answers 404 to everything is not a proxy that has forgotten the server.
#[tokio::test]
async fn a_proxy_that_knows_no_call_of_ours_has_unregistered_nothing() {
    let scene = Scene::new().await;
    let vmid = scene.server(5013, "minecraft").await;
    scene.publish(vmid).await;
    let nowhere = json!({"peer": "velocity", "when": "before", "action": "status", "status": 404, "times": 100});
    scene.rig.fault(nowhere).await;
    // Another process, which has not had an answer of a bridge yet.
    let record = scene.at(EDGE).unpublish(vmid, None).await.unwrap().unwrap();
    let velocity = &record.targets[&Target::Velocity];
    assert_eq!(velocity.state, TargetState::Blocked, "{velocity:?}");
    assert!(velocity.error.as_ref().unwrap().contains("is VELOCITY_URL right?"), "{velocity:?}");
    assert_eq!(scene.registered().await.len(), 1);
    scene.rig.control("DELETE", "/sim/faults", Value::Null).await;
    assert_eq!(scene.settle(vmid).await.state(), EdgeState::NotPublished);
    scene.expect_gone(&Others::default()).await;
}

/// A server keeps the names it was published under, in an earlier zone too, which can no longer be read.
#[tokio::test]
async fn a_server_from_an_earlier_zone_is_published_and_unpublished() {
    let scene = Scene::new().await;
    let vmid = scene.server(5013, "minecraft").await;
    scene.publish(vmid).await;
    let earlier: DnsName = "mc-paper-5013.earlier.example".parse().unwrap();
    let now = scene.clock.now();
    payload::merge(&scene.db.db, vmid, EDGE_KEY, now, |_, record: Option<EdgeRecord>| {
        let mut record = record?;
        record.names.insert(earlier.clone());
        Some(payload::PayloadUpdate::to(record))
    })
    .await
    .unwrap();
    assert_eq!(scene.publish(vmid).await.names.len(), 3, "it is not forgotten");
    scene.expect_clean(vmid, EDGE, &Others::default()).await;
    let withdrawn = scene.publisher.unpublish(vmid, None).await.unwrap().unwrap();
    assert_eq!(withdrawn.state(), EdgeState::NotPublished, "{}", withdrawn.problems());
    scene.expect_gone(&Others::default()).await;
}
