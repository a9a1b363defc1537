//! Publishing, publishing again, and unpublishing, when nothing is in the way.

use std::time::Duration;

use hickory_resolver::proto::rr::RecordType;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::{Value, json};
use zpack::db::entities::instance;
use zpack::edge::{EdgeState, Intent, Target, TargetState};
use zpack::kernel::DnsName;
use zpack::publishing::{PublishError, TargetSelection, TargetVerdict};
use zpack::servers::ports;

use super::kit::{EDGE, Others, PORT, Scene, everywhere, reconcile};
use crate::support::rows::AnyOwner;

/// Case 1.
#[tokio::test]
async fn a_new_server_is_written_once_to_each_peer_and_found_by_a_resolver() {
    let scene = Scene::new().await;
    let vmid = scene.server(5013, "minecraft").await;
    let record = scene.publish(vmid).await;
    assert_eq!((record.generation, record.publication.targets()), (1, everywhere()));
    scene.expect_clean(vmid, EDGE, &Others::default()).await;
    let name = record.publication.name.to_string();
    for peer in ["cloudflare", "technitium"] {
        let found = scene.rig.resolve(peer, &format!("_minecraft._tcp.{name}"), RecordType::SRV).await;
        assert_eq!(found, [format!("0 5 {PORT} {name}.")], "{peer}");
        assert_eq!(scene.rig.resolve(peer, &name, RecordType::A).await, [EDGE.to_string()], "{peer}");
        assert_eq!(scene.rig.dig(peer, &format!("_minecraft._tcp.{name}"), RecordType::SRV).await, found, "{peer}");
        assert_eq!(scene.rig.dig(peer, &name, RecordType::A).await, [EDGE.to_string()], "{peer}");
    }
    // One batch, two additions, one registration.
    assert_eq!(scene.writes().await, [1, 2, 1]);
    let journal = scene.rig.journal("cloudflare").await;
    let batch = journal.iter().find(|entry| entry["method"] == "POST").unwrap();
    let batch: Value = serde_json::from_str(batch["body"].as_str().unwrap()).unwrap();
    let data = json!({"priority": 0, "weight": 5, "port": PORT, "target": name});
    assert_eq!(batch["posts"][1]["data"], data);
    assert_eq!((&batch["posts"][0]["proxied"], &batch["posts"][0]["ttl"]), (&json!(false), &json!(60)));
    let ids = &record.targets[&Target::Cloudflare].ids;
    assert_eq!(ids.len(), 2, "the ids are kept: {record:?}");
}

/// Case 2.
#[tokio::test(flavor = "multi_thread")]
async fn publishing_again_writes_nothing_however_often_and_how_many_at_once() {
    let scene = Scene::new().await;
    let vmid = scene.server(5013, "minecraft").await;
    let first = scene.publish(vmid).await;
    let written = scene.writes().await;
    for _ in 0..3 {
        assert_eq!(scene.publish(vmid).await, first);
    }
    let (one, two, three) = tokio::join!(scene.publish(vmid), scene.publish(vmid), scene.publish(vmid));
    assert_eq!((&one, &two, &three), (&first, &first, &first));
    assert_eq!(scene.writes().await, written);
    assert_eq!(scene.row(vmid).await.edge_due_at, None);
}

/// Case 2, before anything is published.
#[tokio::test(flavor = "multi_thread")]
async fn several_that_publish_a_new_server_at_once_end_with_one_of_each() {
    let scene = Scene::new().await;
    let vmid = scene.server(5013, "minecraft").await;
    let publish = || scene.publisher.publish(vmid, TargetSelection::All, None);
    let (one, two, three) = tokio::join!(publish(), publish(), publish());
    for outcome in [one, two, three] {
        outcome.unwrap();
    }
    scene.settle(vmid).await;
    scene.expect_clean(vmid, EDGE, &Others::default()).await;
}

/// Case 7.
#[tokio::test]
async fn another_edge_address_rewrites_the_same_records() {
    let scene = Scene::new().await;
    let vmid = scene.server(5013, "minecraft").await;
    let ids = scene.publish(vmid).await.targets[&Target::Cloudflare].ids.clone();
    let moved = [203, 0, 113, 2].into();
    let record = scene.at(moved).publish(vmid, TargetSelection::All, None).await.unwrap().unwrap();
    assert_eq!((record.generation, record.state()), (2, EdgeState::Published));
    assert_eq!(record.targets[&Target::Cloudflare].ids, ids);
    scene.expect_clean(vmid, moved, &Others::default()).await;
    // The service points at the name, and is not written again.
    assert_eq!(scene.writes().await, [1 + 1, 2 + 1, 1]);
    for peer in ["cloudflare", "technitium"] {
        let services = scene.zone(peer).await.into_iter().filter(|record| record.1 == "SRV");
        let marks: Vec<String> = services.map(|record| record.3).collect();
        assert_eq!(marks, ["zpack vmid=5013 gen=1"], "{peer}");
    }
}

/// Case 13.
#[tokio::test]
async fn a_game_without_a_proxy_gets_a_port_an_address_record_and_nothing_else() {
    let scene = Scene::new().await;
    let (first, second) = (scene.server(5013, "valheim").await, scene.server(5014, "valheim").await);
    for vmid in [first, second] {
        let operation = scene.row(vmid).await.operation_id;
        ports::take(&AnyOwner(&scene.db.db), &(50_000..=50_999), 2, operation, scene.clock.now())
            .await
            .unwrap()
            .unwrap();
        scene.publish(vmid).await;
    }
    let kinds: Vec<String> = scene.zone("cloudflare").await.into_iter().map(|record| record.1).collect();
    assert_eq!(kinds, ["A", "A"]);
    assert_eq!(scene.registered().await, [].into());
    let addresses = [scene.record(first).await, scene.record(second).await].map(|record| record.publication.address);
    assert_eq!(addresses, ["valheim-5013.play.zpack.test:50000", "valheim-5014.play.zpack.test:50002"]);
    assert_eq!(
        scene.record(first).await.targets.keys().copied().collect::<Vec<_>>(),
        [Target::Technitium, Target::Cloudflare, Target::Traefik]
    );
}

/// Case 22.
#[tokio::test(flavor = "multi_thread")]
async fn unpublished_twice_nothing_is_left_and_an_older_request_brings_nothing_back() {
    let scene = Scene::new().await;
    let vmid = scene.server(5013, "minecraft").await;
    let published = scene.publish(vmid).await;
    for _ in 0..2 {
        let record = scene.publisher.unpublish(vmid, None).await.unwrap().unwrap();
        assert_eq!((record.generation, record.state()), (2, EdgeState::NotPublished));
        scene.expect_gone(&Others::default()).await;
    }
    let written = scene.writes().await;
    assert_eq!(published.generation, 1);
    scene.request(vmid, Intent::Unpublished).await;
    let older = scene.publisher.publish(vmid, TargetSelection::All, Some(0)).await;
    assert!(matches!(older, Err(PublishError::Superseded { .. })), "{older:?}");
    let retried = scene.publisher.publish(vmid, TargetSelection::Due, None).await;
    assert!(matches!(retried, Err(PublishError::Superseded { .. })), "{retried:?}");
    assert_eq!(scene.writes().await, written);
    // A new request does.
    assert_eq!(scene.publish(vmid).await.generation, 3);
    scene.expect_clean(vmid, EDGE, &Others::default()).await;
}

/// Case 22, at the same time: whatever the order, a server that is unpublished has nothing in the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_publication_superseded_by_an_unpublish_leaves_nothing() {
    for delay in [0, 5, 10, 20, 40, 80] {
        let scene = Scene::new().await;
        let vmid = scene.server(5013, "minecraft").await;
        for peer in super::kit::PEERS {
            let slow = json!({"peer": peer, "when": "after", "action": "delay", "delayMs": 30, "times": 50});
            scene.rig.fault(slow).await;
        }
        let publish = scene.publisher.publish(vmid, TargetSelection::All, None);
        let unpublish = async {
            // Not a wait for anything: each round begins to unpublish at another moment of the publication.
            let begin = std::time::Instant::now() + std::time::Duration::from_millis(delay);
            while std::time::Instant::now() < begin || scene.row(vmid).await.payload == "{}" {
                tokio::task::yield_now().await;
            }
            scene.publisher.unpublish(vmid, None).await
        };
        let (published, withdrawn) = tokio::join!(publish, unpublish);
        withdrawn.unwrap();
        assert!(matches!(published, Err(PublishError::Superseded { .. }) | Ok(Some(_))), "{published:?}");
        assert_eq!(scene.settle(vmid).await.state(), EdgeState::NotPublished);
        scene.expect_gone(&Others::default()).await;
    }
}

/// Case 22, when the process of the late publication dies: there is one more check once it must have ended.
#[tokio::test]
async fn what_a_dead_process_publishes_after_an_unpublish_is_removed() {
    let scene = Scene::new().await;
    let vmid = scene.server(5013, "minecraft").await;
    let name = scene.publish(vmid).await.publication.name;
    // Another process has begun to publish it, and its last request is still on the way.
    let begun = scene.clock.now().after(Duration::from_secs(120));
    scene.due_at(vmid, Some(begun)).await;
    scene.publisher.unpublish(vmid, None).await.unwrap();
    scene.expect_gone(&Others::default()).await;
    let mark = "zpack vmid=5013 gen=1";
    scene.plant(json!({"type": "A", "name": name, "content": EDGE.to_string(), "comment": mark})).await;
    let proxy = scene.proxy();
    proxy.register(&name, "10.60.0.7:25565".parse().unwrap()).await.unwrap();
    assert_eq!(scene.settle(vmid).await.state(), EdgeState::NotPublished);
    scene.expect_gone(&Others::default()).await;
    assert_eq!(scene.row(vmid).await.edge_due_at, None, "and no more checks");
}

/// An older publication that is slower than a newer one writes to the zone last, but that is corrected.
#[tokio::test(flavor = "multi_thread")]
async fn a_publication_superseded_by_a_newer_one_is_corrected() {
    let scene = Scene::new().await;
    let vmid = scene.server(5013, "minecraft").await;
    scene.publish(vmid).await;
    let [older, newer] = [[203, 0, 113, 2], [203, 0, 113, 3]].map(|address| scene.at(address.into()));
    // What the older one reads arrives late: the newer one has changed it by then.
    let slow = json!({"peer": "technitium", "path": "/api/zones/records/get", "when": "after", "action": "delay",
        "delayMs": 1500});
    scene.rig.fault(slow).await;
    let has_read = async || {
        let journal = scene.rig.journal("technitium").await;
        journal.iter().any(|entry| !entry["fault"].is_null())
    };
    let late = async {
        let outcome = older.publish(vmid, TargetSelection::All, None).await;
        assert!(matches!(outcome, Err(PublishError::Superseded { .. })), "{outcome:?}");
    };
    let quick = async {
        while !has_read().await {
            tokio::task::yield_now().await;
        }
        newer.publish(vmid, TargetSelection::All, None).await.unwrap().unwrap()
    };
    let ((), record) = tokio::join!(late, quick);
    assert_eq!(record.generation, 3);
    while scene.row(vmid).await.edge_due_at.is_some() {
        scene.clock.advance(Duration::from_secs(700));
        reconcile(&newer).await;
    }
    scene.expect_clean(vmid, [203, 0, 113, 3].into(), &Others::default()).await;
}

/// A server is registered again after a restart of the proxy although another target is blocked.
#[tokio::test]
async fn a_lost_registration_comes_back_while_another_target_is_blocked() {
    let scene = Scene::new().await;
    let vmid = scene.server(5013, "minecraft").await;
    let name = "mc-paper-5013.play.zpack.test";
    scene.plant(json!({"type": "CNAME", "name": name, "content": "elsewhere.example"})).await;
    let record = scene.publisher.publish(vmid, TargetSelection::All, None).await.unwrap().unwrap();
    assert_eq!(record.targets[&Target::Cloudflare].state, TargetState::Blocked);
    scene.rig.steer("/sim/velocity/restart", Value::Null).await;
    assert_eq!(scene.registered().await.len(), 0);
    let asked = scene.rig.journal("cloudflare").await.len();
    scene.due_at(vmid, Some(scene.clock.now())).await;
    scene.reconcile().await;
    assert_eq!(scene.registered().await.len(), 1);
    assert_eq!(scene.rig.journal("cloudflare").await.len(), asked, "its time has not come");
}

/// The host name in the row changes: nothing of ours stays under the old name, at the proxy either.
#[tokio::test]
async fn a_changed_host_name_leaves_nothing_under_the_old_one() {
    let scene = Scene::new().await;
    let vmid = scene.server(5013, "minecraft").await;
    scene.publish(vmid).await;
    let rename = async |name: &str| {
        let renamed = instance::Entity::update_many()
            .col_expr(instance::Column::Hostname, Expr::value(name))
            .filter(instance::Column::Vmid.eq(vmid));
        renamed.exec(&scene.db.db).await.unwrap();
    };
    rename("mc-vanilla-5013").await;
    scene.publish(vmid).await;
    scene.expect_clean(vmid, EDGE, &Others::default()).await;
    // The old name comes back while the proxy cannot be reached: the deletion removes both.
    let old: DnsName = "mc-paper-5013.play.zpack.test".parse().unwrap();
    scene.proxy().register(&old, "10.60.0.7:25565".parse().unwrap()).await.unwrap();
    let report = scene.publisher.verify(vmid).await.unwrap().unwrap();
    let velocity = report.iter().find(|report| report.target == Target::Velocity).unwrap();
    assert_eq!(velocity.verdict, TargetVerdict::Drifted, "{velocity:?}");
    scene.publisher.unpublish(vmid, None).await.unwrap();
    scene.expect_gone(&Others::default()).await;
    // Under an old name with another address there is a server of someone else.
    scene.publisher.publish(vmid, TargetSelection::All, None).await.unwrap();
    scene.proxy().register(&old, "192.0.2.99:25565".parse().unwrap()).await.unwrap();
    scene.publisher.publish(vmid, TargetSelection::All, None).await.unwrap();
    assert_eq!(scene.registered().await.len(), 2);
    // Its own name again is no old one.
    scene.proxy().unregister(old.as_str()).await.unwrap();
    rename("mc-paper-5013").await;
    scene.publish(vmid).await;
    scene.expect_clean(vmid, EDGE, &Others::default()).await;
}
