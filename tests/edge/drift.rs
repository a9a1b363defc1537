//! What is only spelled differently is left alone, what is different is corrected.

use serde_json::{Value, json};
use zpack::edge::{Target, TargetState};
use zpack::publishing::{TargetSelection, TargetVerdict};

use super::kit::{EDGE, Others, PORT, Scene};

/// Case 14.
#[tokio::test]
async fn other_spellings_of_the_same_are_in_sync_and_nothing_is_written() {
    let scene = Scene::new().await;
    let vmid = scene.server(5013, "minecraft").await;
    let name = "MC-Paper-5013.Play.Zpack.TEST";
    let comment = "zpack vmid=5013 gen=1";
    scene
        .plant(json!({"type": "A", "name": name, "content": "203.0.113.1", "ttl": 60, "comment": comment,
        "view": {"name": format!("{name}.")}}))
        .await;
    let data = json!({"priority": 0, "weight": 5, "port": PORT, "target": name});
    scene
        .plant(json!({"type": "SRV", "name": format!("_Minecraft._TCP.{name}"), "data": data, "ttl": 60,
        "comment": comment, "view": {"name": format!("_Minecraft._TCP.{name}"), "data": null, "priority": 0,
        "content": format!("5\t{PORT}\t{name}.")}}))
        .await;
    scene
        .plant_inside(json!({"domain": name, "type": "A", "ipAddress": "203.0.113.1", "ttl": 60, "comments": comment}))
        .await;
    scene
        .plant_inside(json!({"domain": format!("_Minecraft._TCP.{name}"), "type": "SRV", "priority": 0, "weight": 5,
        "port": PORT, "target": name, "ttl": 60, "comments": comment}))
        .await;
    scene.publish(vmid).await;
    assert_eq!(scene.writes().await, [0, 0, 1]);
}

/// Case 15, one difference at a time.
#[tokio::test]
async fn every_real_difference_is_found_and_corrected() {
    let scene = Scene::new().await;
    let vmid = scene.server(5013, "minecraft").await;
    scene.publish(vmid).await;
    let name = "mc-paper-5013.play.zpack.test";
    let service = format!("_minecraft._tcp.{name}");
    let srv = |port: u16, priority: u16, weight: u16, target: &str| json!({"data": {"priority": priority, "weight": weight, "port": port, "target": target}});
    let edits = [
        (service.as_str(), srv(1, 0, 5, name), "value"),
        (&service, srv(PORT, 0, 5, "other.play.zpack.test"), "value"),
        (&service, srv(PORT, 9, 5, name), "value"),
        (&service, srv(PORT, 0, 9, name), "value"),
        (&service, srv(PORT, 0, 5, "."), "not_offered"),
        (&service, json!({"ttl": 300}), "ttl"),
        (name, json!({"content": "198.51.100.1"}), "value"),
        (name, json!({"proxied": true}), "proxied"),
        (name, json!({"ttl": 300}), "ttl"),
        (name, json!({"comment": ""}), "comment"),
    ];
    for (at, edit, drift) in edits {
        let records = scene.rig.state("cloudflare").await["records"].clone();
        let record = records.as_array().unwrap().iter().find(|record| record["name"] == at).unwrap().clone();
        let path = format!("/sim/cloudflare/records/{}", record["id"].as_str().unwrap());
        scene.rig.steer(&path, edit.clone()).await;
        let reports = scene.publisher.verify(vmid).await.unwrap().unwrap();
        let report = reports.iter().find(|report| report.target == Target::Cloudflare).unwrap();
        assert_eq!(report.verdict, TargetVerdict::Drifted, "{edit}: {reports:?}");
        assert!(report.details.iter().any(|detail| detail.contains(drift)), "{edit}: {report:?}");
        let before = scene.writes().await;
        scene.publish(vmid).await;
        scene.expect_clean(vmid, EDGE, &Others::default()).await;
        let after = scene.writes().await;
        assert_eq!([after[0] - before[0], after[1] - before[1], after[2] - before[2]], [1, 0, 0], "{edit}");
        let again = scene.rig.state("cloudflare").await["records"].clone();
        assert!(again.as_array().unwrap().iter().any(|now| now["id"] == record["id"]), "{edit}: another record");
    }
}

/// Case 15, the rest: an IPv6 address beside ours, a disabled record, two of the same name.
#[tokio::test]
async fn what_is_beside_ours_is_removed_if_it_is_ours_too() {
    let scene = Scene::new().await;
    let vmid = scene.server(5013, "minecraft").await;
    scene.publish(vmid).await;
    let name = "mc-paper-5013.play.zpack.test";
    let mark = "zpack vmid=5013 gen=1";
    scene.plant(json!({"type": "AAAA", "name": name, "content": "2001:db8::1", "comment": mark})).await;
    scene.plant(json!({"type": "A", "name": name, "content": "198.51.100.7", "comment": mark, "ttl": 60})).await;
    let off = json!({"domain": name, "type": "A", "disabled": true});
    scene.rig.steer("/sim/technitium/records/disabled", off).await;
    let reports = scene.publisher.verify(vmid).await.unwrap().unwrap();
    for target in [Target::Cloudflare, Target::Technitium] {
        let report = reports.iter().find(|report| report.target == target).unwrap();
        assert_eq!(report.verdict, TargetVerdict::Drifted, "{report:?}");
    }
    scene.publish(vmid).await;
    scene.expect_clean(vmid, EDGE, &Others::default()).await;
    let records = scene.rig.state("technitium").await["zones"][0]["records"].clone();
    assert!(records.as_array().unwrap().iter().all(|record| record["disabled"] == false), "{records}");
}

/// A foreign IPv6 address beside ours takes our players away: it is no success, and the record is reported.
#[tokio::test]
async fn a_foreign_address_beside_ours_is_reported_and_left_alone() {
    let scene = Scene::new().await;
    let vmid = scene.server(5013, "minecraft").await;
    let name = "mc-paper-5013.play.zpack.test";
    let v6 = scene.plant(json!({"type": "AAAA", "name": name, "content": "2001:db8::1"})).await;
    let id = v6["id"].as_str().unwrap();
    let record = scene.publisher.publish(vmid, TargetSelection::All, None).await.unwrap().unwrap();
    let cloudflare = &record.targets[&Target::Cloudflare];
    assert_eq!(cloudflare.state, TargetState::Blocked);
    assert!(cloudflare.error.as_ref().unwrap().contains(id), "{cloudflare:?}");
    assert_eq!(scene.zone("cloudflare").await.len(), 3, "ours are there all the same");
    let found = scene.publisher.verify(vmid).await.unwrap().unwrap();
    let found = found.iter().find(|report| report.target == Target::Cloudflare).unwrap();
    assert_eq!(found.verdict, TargetVerdict::Conflict, "{found:?}");
    scene.rig.control("DELETE", &format!("/sim/cloudflare/records/{id}"), Value::Null).await;
    scene.settle(vmid).await;
    // So does another address of the same type.
    scene.plant(json!({"type": "A", "name": name, "content": "198.51.100.7"})).await;
    let found = scene.publisher.verify(vmid).await.unwrap().unwrap();
    let found = found.iter().find(|report| report.target == Target::Cloudflare).unwrap();
    assert_eq!(found.verdict, TargetVerdict::Conflict, "{found:?}");
    assert!(found.details.iter().any(|detail| detail.contains("without our mark")), "{found:?}");
    // Once it is unpublished, in sync means that nothing is there; what is ours and there again is drift.
    scene.publisher.unpublish(vmid, None).await.unwrap();
    let verdicts = async || {
        let reports = scene.publisher.verify(vmid).await.unwrap().unwrap();
        reports.into_iter().map(|report| report.verdict).collect::<Vec<_>>()
    };
    assert_eq!(verdicts().await, [TargetVerdict::InSync, TargetVerdict::InSync, TargetVerdict::Conflict]);
    scene.rig.control("DELETE", "/sim/cloudflare/records", Value::Null).await;
    assert_eq!(verdicts().await, [TargetVerdict::InSync; 3]);
    let left = json!({"type": "A", "name": name, "content": "203.0.113.1", "comment": "zpack vmid=5013 gen=1"});
    scene.plant(left).await;
    assert_eq!(verdicts().await, [TargetVerdict::InSync, TargetVerdict::InSync, TargetVerdict::Drifted]);
}
