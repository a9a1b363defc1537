//! Publishing, publishing again, and taking back, when nothing is in the way.

use hickory_resolver::proto::rr::RecordType;
use serde_json::{Value, json};
use zpack::edge::{EdgeState, Target};
use zpack::publishing::{PublishError, Scope, port_pool};

use super::kit::{EDGE, Others, PORT, Scene, everywhere};

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

/// Case 2, while nothing is there yet.
#[tokio::test(flavor = "multi_thread")]
async fn several_that_publish_a_new_server_at_once_end_with_one_of_each() {
    let scene = Scene::new().await;
    let vmid = scene.server(5013, "minecraft").await;
    let publish = || scene.publisher.publish(vmid, Scope::All, None);
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
    let record = scene.at(moved).publish(vmid, Scope::All, None).await.unwrap().unwrap();
    assert_eq!((record.generation, record.state()), (2, EdgeState::Published));
    assert_eq!(record.targets[&Target::Cloudflare].ids, ids);
    scene.expect_clean(vmid, moved, &Others::default()).await;
}

/// Case 13.
#[tokio::test]
async fn a_game_without_a_proxy_gets_a_port_an_address_record_and_nothing_else() {
    let scene = Scene::new().await;
    let (first, second) = (scene.server(5013, "valheim").await, scene.server(5014, "valheim").await);
    for vmid in [first, second] {
        let operation = scene.row(vmid).await.operation_id;
        port_pool::take(&scene.db.db, &(50_000..=50_999), operation, scene.clock.now()).await.unwrap().unwrap();
        scene.publish(vmid).await;
    }
    let kinds: Vec<String> = scene.zone("cloudflare").await.into_iter().map(|record| record.1).collect();
    assert_eq!(kinds, ["A", "A"]);
    assert_eq!(scene.registered().await, [].into());
    let addresses = [scene.record(first).await, scene.record(second).await].map(|record| record.publication.address);
    assert_eq!(addresses, ["valheim-5013.play.zpack.test:50000", "valheim-5014.play.zpack.test:50001"]);
    assert_eq!(
        scene.record(first).await.targets.keys().copied().collect::<Vec<_>>(),
        [Target::Technitium, Target::Cloudflare, Target::Traefik]
    );
}

/// Case 22.
#[tokio::test(flavor = "multi_thread")]
async fn taken_back_twice_nothing_is_left_and_an_older_wish_brings_nothing_back() {
    let scene = Scene::new().await;
    let vmid = scene.server(5013, "minecraft").await;
    let published = scene.publish(vmid).await;
    for _ in 0..2 {
        let record = scene.publisher.unpublish(vmid).await.unwrap().unwrap();
        assert_eq!((record.generation, record.state()), (2, EdgeState::NotPublished));
        scene.expect_gone(&Others::default()).await;
    }
    let written = scene.writes().await;
    let older = scene.publisher.publish(vmid, Scope::All, Some(published.generation)).await;
    assert!(matches!(older, Err(PublishError::Overtaken { .. })), "{older:?}");
    let keeper = scene.publisher.publish(vmid, Scope::Due, None).await;
    assert!(matches!(keeper, Err(PublishError::Overtaken { .. })), "{keeper:?}");
    assert_eq!(scene.writes().await, written);
    // A new wish does.
    assert_eq!(scene.publish(vmid).await.generation, 3);
    scene.expect_clean(vmid, EDGE, &Others::default()).await;
}

/// Case 22, at the same time: whatever the order, a server that is withdrawn has nothing in the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_publication_overtaken_by_a_withdrawal_leaves_nothing() {
    for delay in [0, 5, 10, 20, 40, 80] {
        let scene = Scene::new().await;
        let vmid = scene.server(5013, "minecraft").await;
        for peer in super::kit::PEERS {
            let slow = json!({"peer": peer, "when": "after", "action": "delay", "delayMs": 30, "times": 50});
            scene.rig.fault(slow).await;
        }
        let publish = scene.publisher.publish(vmid, Scope::All, None);
        let unpublish = async {
            // Not a wait for anything: each round begins the withdrawal at another moment of the publication.
            let begin = std::time::Instant::now() + std::time::Duration::from_millis(delay);
            while std::time::Instant::now() < begin || scene.row(vmid).await.payload == "{}" {
                tokio::task::yield_now().await;
            }
            scene.publisher.unpublish(vmid).await
        };
        let (published, withdrawn) = tokio::join!(publish, unpublish);
        withdrawn.unwrap();
        assert!(matches!(published, Err(PublishError::Deleting { .. }) | Ok(Some(_))), "{published:?}");
        assert_eq!(scene.settle(vmid).await.state(), EdgeState::NotPublished);
        scene.expect_gone(&Others::default()).await;
    }
}
