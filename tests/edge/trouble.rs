//! Peers that refuse for long: rate limits, tokens, quotas, a zone that cannot be read.

use std::time::Duration;

use serde_json::{Value, json};
use zpack::edge::{EdgeState, Target, TargetState};
use zpack::publishing::Scope;

use super::kit::{EDGE, Others, Scene};

/// Case 9.
#[tokio::test]
async fn a_rate_limit_is_kept_by_everybody_and_the_others_go_on() {
    let scene = Scene::new().await;
    let (one, two) = (scene.server(5013, "minecraft").await, scene.server(5014, "minecraft").await);
    scene
        .rig
        .steer("/sim/cloudflare/limits", json!({"requests": 1, "windowSeconds": 7, "retryAfter": "seconds"}))
        .await;
    let record = scene.publisher.publish(one, Scope::All, None).await.unwrap().unwrap();
    assert_eq!(record.state(), EdgeState::Degraded, "{record:?}");
    let due = record.targets[&Target::Cloudflare].due_at.unwrap();
    let wait = due.since(scene.clock.now());
    assert!((Duration::from_secs(1)..=Duration::from_secs(7)).contains(&wait), "{wait:?}");
    let asked = scene.rig.journal("cloudflare").await.len();
    // Nobody else asks meanwhile, and nothing but that waits.
    let other = scene.publisher.publish(two, Scope::All, None).await.unwrap().unwrap();
    assert_eq!(other.targets[&Target::Technitium].state, TargetState::Published);
    assert_eq!(other.targets[&Target::Velocity].state, TargetState::Published);
    assert_eq!(other.targets[&Target::Cloudflare].state, TargetState::Retrying);
    assert_eq!(scene.rig.journal("cloudflare").await.len(), asked);
}

/// Case 10.
#[tokio::test]
async fn a_lost_token_is_tried_once_and_works_again_when_it_is_good_again() {
    let scene = Scene::new().await;
    let vmid = scene.server(5013, "minecraft").await;
    let token = scene.rig.world.technitium().token();
    let refused = json!({"status": "invalid-token", "errorMessage": "Invalid token or session expired."});
    let fault = json!({"peer": "technitium", "when": "before", "action": "status", "status": 200, "body": refused, "times": 100});
    scene.rig.fault(fault).await;
    for status in [400, 403] {
        let body =
            json!({"success": false, "errors": [{"code": if status == 400 { 9106 } else { 10_000 }, "message": "no"}]});
        let fault = json!({"peer": "cloudflare", "when": "before", "action": "status", "status": status, "body": body});
        scene.rig.fault(fault).await;
    }
    for _ in 0..2 {
        let record = scene.publisher.publish(vmid, Scope::All, None).await.unwrap().unwrap();
        assert_eq!(record.state(), EdgeState::Degraded);
        for target in [Target::Cloudflare, Target::Technitium] {
            let record = &record.targets[&target];
            assert_eq!(record.state, TargetState::Blocked, "{record:?}");
            assert!(record.error.as_ref().unwrap().contains("does not accept our token"), "{record:?}");
            assert!(!record.error.as_ref().unwrap().contains(&token));
        }
    }
    // One call each time; Technitium is asked in both ways a token can be sent.
    assert_eq!(scene.rig.journal("cloudflare").await.len(), 2);
    let journal = scene.rig.journal("technitium").await;
    assert_eq!(journal.len(), 4);
    assert!(journal.iter().all(|entry| entry["query"] == json!([])), "nothing in an address: {journal:?}");
    scene.rig.control("DELETE", "/sim/faults", Value::Null).await;
    assert_eq!(scene.settle(vmid).await.state(), EdgeState::Published);
    scene.expect_clean(vmid, EDGE, &Others::default()).await;
}

/// Case 11.
#[tokio::test]
async fn a_full_zone_keeps_what_fits_and_says_so() {
    let scene = Scene::new().await;
    let vmid = scene.server(5013, "minecraft").await;
    scene.rig.steer("/sim/cloudflare/plan", json!({"records": 1})).await;
    let record = scene.publisher.publish(vmid, Scope::All, None).await.unwrap().unwrap();
    assert_eq!(record.state(), EdgeState::Degraded);
    let cloudflare = &record.targets[&Target::Cloudflare];
    assert_eq!(cloudflare.state, TargetState::Blocked);
    assert!(cloudflare.error.as_ref().unwrap().contains("quota"), "{cloudflare:?}");
    // What the alert looks at: one gauge a target, however often it is tried.
    let blocked = async || zpack::publishing::blocked(&scene.db.db).await.unwrap();
    assert_eq!(blocked().await, [(Target::Cloudflare, 1)].into());
    let kinds: Vec<String> = scene.zone("cloudflare").await.into_iter().map(|record| record.1).collect();
    assert_eq!(kinds, ["A"], "the address is there, by which players reach the server all the same");
    scene.rig.steer("/sim/cloudflare/plan", json!({"records": 200})).await;
    scene.settle(vmid).await;
    scene.expect_clean(vmid, EDGE, &Others::default()).await;
    assert!(blocked().await.is_empty());
}

/// Case 18: what cannot be read is not empty.
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
    let record = scene.publisher.publish(vmid, Scope::All, None).await.unwrap().unwrap();
    for target in [Target::Cloudflare, Target::Technitium] {
        assert_eq!(record.targets[&target].state, TargetState::Retrying, "{target}");
    }
    assert_eq!(scene.writes().await, written);
    let withdrawn = scene.publisher.unpublish(vmid, None).await.unwrap().unwrap();
    assert_eq!(withdrawn.state(), EdgeState::Unpublishing, "not taken for gone");
    assert_eq!(scene.zone("cloudflare").await.len(), 2);
}
