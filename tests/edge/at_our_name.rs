//! What is at the names of a server counts, ours or not (docs/edge.md, "Ours and foreign").

use serde_json::{Value, json};
use zpack::db::entities::operation::{Cleanup, OperationState};
use zpack::edge::{EdgeRecord, EdgeState, Target, TargetState};
use zpack::kernel::VmId;
use zpack::publishing::{TargetSelection, TargetVerdict};

use super::kit::{EDGE, Others, PORT, Scene};
use crate::flows::teardown::{collect, delete, open_debts};
use crate::routes::edge::a_server;
use crate::support::app::FRESHNESS;
use crate::support::company::Company;
use crate::support::logs::Logs;

const NAME: &str = "mc-paper-5013.play.zpack.test";
const SERVICE: &str = "_minecraft._tcp.mc-paper-5013.play.zpack.test";
const ZONES: [Target; 2] = [Target::Cloudflare, Target::Technitium];

/// A record at both DNS servers, as an operator creates it there.
async fn plant(scene: &Scene, kind: &str, value: &str) -> Others {
    let before = Others { cloudflare: scene.zone("cloudflare").await, technitium: scene.zone("technitium").await };
    match kind {
        "SRV" => {
            let data = json!({"priority": 0, "weight": 5, "port": PORT, "target": value});
            scene.plant(json!({"type": "SRV", "name": SERVICE, "data": data, "ttl": 60})).await;
            scene.plant_inside(json!({"domain": SERVICE, "type": "SRV", "priority": 0, "weight": 5, "port": PORT, "target": value, "ttl": 60})).await;
        }
        _ => {
            scene.plant(json!({"type": kind, "name": NAME, "content": value, "ttl": 60})).await;
            let key = if kind == "TXT" { "text" } else { "ipAddress" };
            scene.plant_inside(json!({"domain": NAME, "type": kind, key: value, "ttl": 60})).await;
        }
    }
    let new = async |peer: &str, before| scene.zone(peer).await.difference(before).cloned().collect();
    Others {
        cloudflare: new("cloudflare", &before.cloudflare).await,
        technitium: new("technitium", &before.technitium).await,
    }
}

/// Removes the comments of every record of ours, as a tool that does not know them does.
async fn lose_marks(scene: &Scene, comment: &str) {
    for record in scene.rig.state("cloudflare").await["records"].as_array().unwrap() {
        let path = format!("/sim/cloudflare/records/{}", record["id"].as_str().unwrap());
        scene.rig.steer(&path, json!({ "comment": comment })).await;
    }
    let port = PORT.to_string();
    let address = EDGE.to_string();
    let ours: [Vec<(&str, &str)>; 2] = [
        vec![("domain", NAME), ("type", "A"), ("ipAddress", &address)],
        vec![
            ("domain", SERVICE),
            ("type", "SRV"),
            ("priority", "0"),
            ("weight", "5"),
            ("port", &port),
            ("target", NAME),
        ],
    ];
    for mut form in ours {
        form.extend([("ttl", "60"), ("comments", comment)]);
        let answer = scene.rig.technitium("zones/records/update", &form).await;
        assert_eq!(answer["status"], "ok", "{answer}");
    }
}

async fn verdicts(scene: &Scene, vmid: VmId) -> [(TargetVerdict, String); 2] {
    let reports = scene.publisher.verify(vmid).await.unwrap().unwrap();
    ZONES.map(|target| {
        let report = reports.iter().find(|report| report.target == target).unwrap();
        (report.verdict, report.details.join("; "))
    })
}

fn expect_blocked(record: &EdgeRecord, words: &str) {
    for target in ZONES {
        let stored = &record.targets[&target];
        let error = stored.error.clone().unwrap_or_default();
        assert!(stored.state == TargetState::Blocked && error.contains(words), "{target}: {stored:?}");
    }
}

/// A second address or service of someone else: half of the players would end there.
#[tokio::test]
async fn a_foreign_record_beside_ours_is_no_sync_and_no_clean_deletion() {
    for (kind, value) in [("A", "198.51.100.7"), ("AAAA", "2001:db8::7"), ("SRV", "elsewhere.example")] {
        let scene = Scene::new().await;
        let vmid = scene.server(5013, "minecraft").await;
        let first = scene.publish(vmid).await;
        let others = plant(&scene, kind, value).await;
        let what = format!("the {kind} record at");
        for (verdict, details) in verdicts(&scene, vmid).await {
            assert_eq!(verdict, TargetVerdict::Conflict, "{kind}: {details}");
            assert!(details.contains(&what), "{kind}: {details}");
        }
        let record = scene.publisher.publish(vmid, TargetSelection::All, None).await.unwrap().unwrap();
        expect_blocked(&record, &what);
        assert_eq!(
            record.targets[&Target::Cloudflare].ids,
            first.targets[&Target::Cloudflare].ids,
            "they are known still"
        );
        scene.expect_clean(vmid, EDGE, &others).await;
        // Without the server: ours are gone, and what stayed is named.
        let record = scene.publisher.unpublish(vmid, None).await.unwrap().unwrap();
        assert_eq!(record.state(), EdgeState::Unpublishing, "{kind}");
        expect_blocked(&record, &what);
        scene.expect_gone(&others).await;
        for (verdict, details) in verdicts(&scene, vmid).await {
            assert_eq!(verdict, TargetVerdict::Conflict, "{kind}: {details}");
        }
    }
}

/// What does not lead players anywhere does no harm: it is named, and keeps nothing from being published or clean.
#[tokio::test]
async fn a_foreign_text_beside_ours_is_in_sync_and_named_when_it_stays() {
    let logs = Logs::of_this_thread();
    let scene = Scene::new().await;
    let vmid = scene.server(5013, "minecraft").await;
    scene.publish(vmid).await;
    let others = plant(&scene, "TXT", "note").await;
    for (verdict, details) in verdicts(&scene, vmid).await {
        assert_eq!(verdict, TargetVerdict::InSync, "{details}");
        assert!(details.contains("the TXT record at"), "{details}");
    }
    scene.publish(vmid).await;
    let record = scene.publisher.unpublish(vmid, None).await.unwrap().unwrap();
    assert_eq!(record.state(), EdgeState::NotPublished, "{}", record.problems());
    scene.expect_gone(&others).await;
    assert_eq!(logs.with("stays at the names of 5013").len(), 2);
}

/// A record of equal value that was there before: not ours, whatever it says.
#[tokio::test]
async fn an_equal_record_without_our_mark_is_neither_adopted_nor_deleted() {
    let scene = Scene::new().await;
    let vmid = scene.server(5013, "minecraft").await;
    let others = plant(&scene, "A", &EDGE.to_string()).await;
    let record = scene.publisher.publish(vmid, TargetSelection::All, None).await.unwrap().unwrap();
    expect_blocked(&record, "the A record at");
    for (verdict, details) in verdicts(&scene, vmid).await {
        assert_eq!(verdict, TargetVerdict::Conflict, "{details}");
    }
    let record = scene.publisher.unpublish(vmid, None).await.unwrap().unwrap();
    expect_blocked(&record, "the A record at");
    scene.expect_gone(&others).await;
    // The operator removes them: the worker ends what it began.
    scene.rig.control("DELETE", "/sim/cloudflare/records", Value::Null).await;
    let address = EDGE.to_string();
    scene.rig.technitium("zones/records/delete", &[("domain", NAME), ("type", "A"), ("ipAddress", &address)]).await;
    assert_eq!(scene.settle(vmid).await.state(), EdgeState::NotPublished);
}

/// Records that we published and that lost their comment are known by what was read back then.
#[tokio::test]
async fn records_that_lost_their_mark_are_marked_again_and_removed_with_the_server() {
    for publish_first in [true, false] {
        let scene = Scene::new().await;
        let vmid = scene.server(5013, "minecraft").await;
        scene.publish(vmid).await;
        lose_marks(&scene, "").await;
        for (verdict, details) in verdicts(&scene, vmid).await {
            assert_eq!(verdict, TargetVerdict::Drifted, "{details}");
            assert!(details.contains("comment"), "{details}");
        }
        if publish_first {
            scene.publish(vmid).await;
            scene.expect_clean(vmid, EDGE, &Others::default()).await;
        } else {
            let record = scene.publisher.unpublish(vmid, None).await.unwrap().unwrap();
            assert_eq!(record.state(), EdgeState::NotPublished, "{}", record.problems());
            scene.expect_gone(&Others::default()).await;
        }
    }
}

/// The settings change while the mark is lost: what was published before is known still.
#[tokio::test]
async fn another_address_after_the_mark_was_lost_rewrites_the_same_records() {
    let scene = Scene::new().await;
    let vmid = scene.server(5013, "minecraft").await;
    scene.publish(vmid).await;
    lose_marks(&scene, "").await;
    let other = [198, 51, 100, 99].into();
    let record = scene.at(other).publish(vmid, TargetSelection::All, None).await.unwrap().unwrap();
    assert_eq!(record.state(), EdgeState::Published, "{}", record.problems());
    scene.expect_clean(vmid, other, &Others::default()).await;
}

/// Someone else has put a comment of their own in place of ours: it is theirs now.
#[tokio::test]
async fn records_that_were_taken_over_are_left_and_named() {
    let scene = Scene::new().await;
    let vmid = scene.server(5013, "minecraft").await;
    scene.publish(vmid).await;
    lose_marks(&scene, "moved by hand").await;
    let all = Others { cloudflare: scene.zone("cloudflare").await, technitium: scene.zone("technitium").await };
    for (verdict, details) in verdicts(&scene, vmid).await {
        assert_eq!(verdict, TargetVerdict::Conflict, "{details}");
    }
    let record = scene.publisher.unpublish(vmid, None).await.unwrap().unwrap();
    expect_blocked(&record, "the SRV record at");
    scene.expect_gone(&all).await;
}

/// DELETE says what stayed, keeps the names until it is gone, and ends without an operator's command then.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_server_whose_name_still_leads_somewhere_leaves_a_debt_that_names_it() {
    let company = Company::start().await;
    let (door, host) = (company.door(FRESHNESS), company.host_worker());
    a_server(&company).await;
    let vmid = VmId::new(5013).unwrap();
    company.publisher().publish(vmid, TargetSelection::All, None).await.unwrap();
    let foreign = json!({"type": "A", "name": "mc-paper-5013", "content": "198.51.100.7"});
    let id = company.control("/sim/cloudflare/records", foreign).await["id"].as_str().unwrap().to_owned();
    let operation = company.settled(delete(&door, 5013).await.unwrap()).await;
    assert_eq!((operation.state, operation.cleanup), (OperationState::Succeeded, Cleanup::Pending));
    let debts = open_debts(&company).await;
    let named = debts.iter().filter(|debt| debt.last_error.as_ref().is_some_and(|error| error.contains(&id)));
    assert_eq!((named.count(), debts.len()), (1, 1), "{debts:?}");
    company.control_delete(&format!("/sim/cloudflare/records/{id}")).await;
    collect(&company).await;
    assert_eq!(open_debts(&company).await, []);
    assert_eq!(company.at_edge().await, [0, 0, 0]);
    host.stop().await;
    door.close().await;
}
