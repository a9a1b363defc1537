//! The callbacks of the proxy, in any order and number, and the documents that we serve to the edge.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use std::time::Duration;
use zpack::discovery::{ProxyCallback, receive};
use zpack::edge::{PROXY_KEY, ProxyPresence, ProxyRecord};
use zpack::instances::stored_edge::StoredEdge;
use zpack::kernel::{Timestamp, VmId};
use zpack::servers::payload;
use zpack::web::read_json;

use super::kit::Scene;

const NAME: &str = "mc-paper-5013.play.zpack.test";

fn callback(body: &Value) -> ProxyCallback {
    read_json(body.to_string().as_bytes()).unwrap().value
}

async fn hear(scene: &Scene, body: Value) -> bool {
    receive(&scene.db.db, &callback(&body).0, scene.clock.now()).await.unwrap()
}

async fn record(scene: &Scene, vmid: VmId) -> Option<ProxyRecord> {
    payload::read(&scene.row(vmid).await, PROXY_KEY).unwrap()
}

#[tokio::test]
async fn a_callback_is_kept_once_and_strangers_and_late_ones_are_not() {
    let scene = Scene::new().await;
    let vmid = scene.server(5013, "minecraft").await;
    let early = json!({"server_name": NAME, "status": "proxy_ping_ok", "at": scene.clock.now()});
    assert!(!hear(&scene, early.clone()).await, "nothing is published yet");
    scene.clock.advance(Duration::from_secs(10));
    scene.publish(vmid).await;
    assert!(!hear(&scene, early).await, "from before the publication");
    scene.clock.advance(Duration::from_secs(1));
    let at = scene.clock.now();
    let word = json!({"server_name": NAME, "status": "proxy_ping_ok", "at": at, "latency_ms": 12.5, "new": {"a": 1},
        "address": "10.60.0.7", "port": 25565, "boot_id": "b"});
    assert!(hear(&scene, word.clone()).await);
    assert!(!hear(&scene, word).await, "the same again");
    assert!(
        !hear(&scene, json!({"server_name": NAME, "status": "proxy_ping_ok", "address": "10.0.0.1", "port": 1})).await
    );
    assert!(!hear(&scene, json!({"server_name": "mc-paper-9999.play.zpack.test", "status": "proxy_ping_ok"})).await);
    assert!(!hear(&scene, json!({"server_name": "mc-paper-5013.elsewhere.test", "status": "proxy_ping_failed"})).await);
    let reach = StoredEdge::of(&scene.row(vmid).await);
    let presence = reach.edge.unwrap().presence(&reach.proxy, None, at);
    assert_eq!(presence, ProxyPresence::Registered);
    // The short name is the one under which servers were registered earlier.
    scene.clock.advance(Duration::from_secs(1));
    assert!(
        hear(&scene, json!({"server_name": "MC-Paper-5013", "status": "proxy_ping_failed", "error": "refused"})).await
    );
    // After it is unpublished, callbacks are ignored.
    scene.publisher.unpublish(vmid, None).await.unwrap();
    scene.clock.advance(Duration::from_secs(1));
    assert!(!hear(&scene, json!({"server_name": NAME, "status": "proxy_ping_ok"})).await);
}

#[test]
fn only_the_three_statuses_are_accepted() {
    let said = |key: &str, value: Value| {
        let mut body =
            json!({"server_name": NAME, "status": "proxy_ping_ok", "at": "2026-01-02T03:04:05Z", "more": {"x": 1}});
        body[key] = value;
        body
    };
    for status in ["registered_with_proxy", "proxy_ping_ok", "proxy_ping_failed"] {
        assert_eq!(callback(&said("status", json!(status))).0.status.as_str(), status);
    }
    for (latency, expected) in [(json!(12.9), Some(12)), (json!(7), Some(7)), (json!(-1), None), (json!("x"), None)] {
        assert_eq!(callback(&said("latency_ms", latency.clone())).0.latency_ms, expected, "{latency}");
    }
    for (body, pointer) in [
        (said("status", json!("registered")), "/status"),
        (said("status", json!("")), "/status"),
        (said("status", json!("PROXY_PING_OK")), "/status"),
        (said("status", json!("unregistered_from_proxy")), "/status"),
        (json!({"server_name": NAME, "status": 1}), "/status"),
        (json!({"status": "proxy_ping_ok"}), "/server_name"),
        (json!({"server_name": NAME, "status": "proxy_ping_ok", "at": "yesterday"}), "/at"),
        (json!({"server_name": NAME, "status": "proxy_ping_ok", "port": 70000}), "/port"),
    ] {
        let refused = read_json::<ProxyCallback>(body.to_string().as_bytes()).unwrap_err();
        assert!(format!("{refused:?}").contains(pointer), "{body}: {refused:?}");
    }
}

/// Any order, any number of times: the result is the same.
#[tokio::test]
async fn the_order_and_number_of_callbacks_make_no_difference() {
    let mut runner = TestRunner::new(Config::default());
    let one = (0..3usize, 0..40i64).prop_map(|(status, second)| (status, second));
    for _ in 0..8 {
        let words = prop::collection::vec(one.clone(), 1..8).new_tree(&mut runner).unwrap().current();
        let doubled: Vec<_> = words.iter().chain(&words).copied().collect();
        let shuffled = Just(doubled).prop_shuffle().new_tree(&mut runner).unwrap().current();
        let mut ends = Vec::new();
        for order in [&words, &shuffled] {
            let scene = Scene::new().await;
            let vmid = scene.server(5013, "minecraft").await;
            scene.publish(vmid).await;
            let begun = scene.clock.now();
            scene.clock.advance(Duration::from_secs(60));
            for (status, second) in order {
                let status = ["registered_with_proxy", "proxy_ping_ok", "proxy_ping_failed"][*status];
                // There are never two different reports on one thing at the same moment.
                let offset = second * 1000 + if status == "proxy_ping_ok" { 1 } else { 0 };
                let at = Timestamp::from_millis(begun.millis() + offset);
                hear(&scene, json!({"server_name": NAME, "status": status, "at": at})).await;
            }
            ends.push(record(&scene, vmid).await);
        }
        assert_eq!(ends[0], ends[1], "{words:?} {shuffled:?}");
    }
}
