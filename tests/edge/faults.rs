//! The fault matrix: each call of each peer fails in each way, while a server is published, corrected and unpublished.
//!
//! In the end everything is as it should be, or reported as degraded until it is, with one correct record of each name, no
//! foreign record changed, and a second run that writes nothing.

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use zpack::edge::{EdgeState, TargetState};
use zpack::publishing::TargetSelection;

use super::kit::{EDGE, Others, PEERS, Scene, fault};

/// Worlds at the same time. More are no faster, and on a loaded machine so slow that calls time out.
const PARALLEL: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Flow {
    Publish,
    Republish,
    Unpublish,
}

/// What a peer can do to a call.
pub const WAYS: [(&str, &str, Option<u16>); 12] = [
    ("before", "status", Some(500)),
    ("before", "status", Some(400)),
    ("before", "status", Some(403)),
    ("before", "status", Some(429)),
    ("after", "status", Some(503)),
    ("before", "timeout", None),
    ("after", "timeout", None),
    ("before", "reset", None),
    ("after", "reset", None),
    ("after", "truncate", None),
    ("before", "html", None),
    ("after", "html", None),
];

/// The calls a peer sees in one flow without a fault.
pub const fn calls(peer: &str, flow: Flow) -> usize {
    match (peer.as_bytes().first(), flow) {
        // List, batch or one change, list.
        (Some(b'c'), _) => 3,
        // Both names, the changes, both names.
        (Some(b't'), Flow::Publish | Flow::Unpublish) => 6,
        (Some(b't'), Flow::Republish) => 5,
        // List, register, list; unpublish: unregister, list.
        (_, Flow::Unpublish) => 2,
        _ => 3,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_fails_while_publishing_ends_published() {
    run(Flow::Publish).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_fails_while_drift_is_corrected_ends_published() {
    run(Flow::Republish).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_fails_while_unpublishing_ends_with_nothing() {
    run(Flow::Unpublish).await;
}

async fn run(flow: Flow) {
    let cells = PEERS.into_iter().flat_map(|peer| {
        let calls = 1..=calls(peer, flow);
        calls.flat_map(move |nth| WAYS.into_iter().map(move |way| (peer, nth, way)))
    });
    stream::iter(cells).for_each_concurrent(PARALLEL, |(peer, nth, way)| cell(flow, peer, nth, way)).await;
}

async fn cell(flow: Flow, peer: &str, nth: usize, (when, action, status): (&str, &str, Option<u16>)) {
    let what = format!("{flow:?} {peer} call {nth} {when} {action} {status:?}");
    let scene = Scene::in_its_time().await;
    let others = strangers(&scene).await;
    let vmid = scene.server(5013, "minecraft").await;
    if flow != Flow::Publish {
        scene.publish(vmid).await;
    }
    if flow == Flow::Republish {
        drift(&scene, vmid.get()).await;
    }
    scene.rig.fault(fault(peer, nth, when, action, status)).await;
    let record = match flow {
        Flow::Publish | Flow::Republish => scene.publisher.publish(vmid, TargetSelection::All, None).await,
        Flow::Unpublish => scene.publisher.unpublish(vmid, None).await,
    };
    let record = record.unwrap_or_else(|error| panic!("{what}: {error}")).unwrap();
    scene.faults_are_used_up(&what).await;
    // A target that is reported as settled is settled, and an unsettled one is due again.
    let open = !record.unsettled().is_empty();
    assert_eq!(record.due_at().is_some(), open, "{what}: {record:#?}");
    for (target, state) in &record.targets {
        assert_eq!(
            state.error.is_some(),
            matches!(state.state, TargetState::Retrying | TargetState::Blocked),
            "{what}: {target}"
        );
    }
    let settled = scene.settle(vmid).await;
    match flow {
        Flow::Publish | Flow::Republish => {
            assert_eq!(settled.state(), EdgeState::Published, "{what}");
            scene.expect_clean(vmid, EDGE, &others).await;
        }
        Flow::Unpublish => {
            assert_eq!(settled.state(), EdgeState::NotPublished, "{what}");
            scene.expect_gone(&others).await;
        }
    }
    let written = scene.writes().await;
    match flow {
        Flow::Publish | Flow::Republish => drop(scene.publish(vmid).await),
        Flow::Unpublish => drop(scene.publisher.unpublish(vmid, None).await.unwrap()),
    }
    let again = scene.writes().await;
    // Unpublishing calls the proxy each time, which finds nothing.
    let peers = if flow == Flow::Unpublish { 2 } else { 3 };
    assert_eq!(written[..peers], again[..peers], "{what}: the second run wrote");
}

/// Records of others at other names, and beside ours.
async fn strangers(scene: &Scene) -> Others {
    scene.plant(json!({"type": "A", "name": "www", "content": "198.51.100.1", "ttl": 300})).await;
    scene.plant(json!({"type": "TXT", "name": "mc-paper-5013", "content": "a remark"})).await;
    scene
        .plant(json!({"type": "A", "name": "mc-paper-50", "content": "198.51.100.2", "comment": "zpack vmid=50 gen=1"}))
        .await;
    scene.plant_inside(json!({"domain": "www.play.zpack.test", "type": "A", "ipAddress": "198.51.100.1"})).await;
    Others { cloudflare: scene.zone("cloudflare").await, technitium: scene.zone("technitium").await }
}

/// An operator changes what we published: one record at each peer.
async fn drift(scene: &Scene, vmid: i32) {
    let name = format!("mc-paper-{vmid}.play.zpack.test");
    let records = scene.rig.state("cloudflare").await["records"].clone();
    let ours =
        records.as_array().unwrap().iter().find(|record| record["name"] == name && record["type"] == "A").unwrap();
    let path = format!("/sim/cloudflare/records/{}", ours["id"].as_str().unwrap());
    scene.rig.steer(&path, json!({"content": "198.51.100.9"})).await;
    // Without the comment the record would be a foreign one.
    let form = [
        ("domain", name.as_str()),
        ("zone", "play.zpack.test"),
        ("type", "A"),
        ("ipAddress", "203.0.113.1"),
        ("newIpAddress", "198.51.100.9"),
        ("comments", "zpack vmid=5013 gen=1"),
    ];
    let answer = scene.rig.technitium("zones/records/update", &form).await;
    assert_eq!(answer["status"], "ok", "{answer}");
    scene.rig.steer("/sim/velocity/restart", Value::Null).await;
}
