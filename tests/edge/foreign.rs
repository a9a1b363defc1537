//! No foreign record is ever changed, whatever the zone holds.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::{Value, json};
use zpack::db::entities::instance;
use zpack::edge::{EdgeState, Target, TargetState};
use zpack::kernel::Hostname;
use zpack::publishing::{Holdings, PublishError, TargetSelection};

use super::kit::{EDGE, Others, PEERS, Scene};
use crate::contracts::zone_kit::ZONE;

const NAME: &str = "mc-paper-5013.play.zpack.test";

/// Case 5.
#[tokio::test]
async fn a_foreign_alias_is_left_alone_and_named_while_the_rest_is_published() {
    let scene = Scene::new().await;
    let vmid = scene.server(5013, "minecraft").await;
    let alias = scene.plant(json!({"type": "CNAME", "name": NAME, "content": "elsewhere.example"})).await;
    let id = alias["id"].as_str().unwrap();
    let record = scene.publisher.publish(vmid, TargetSelection::All, None).await.unwrap().unwrap();
    assert_eq!(record.state(), EdgeState::Degraded);
    let cloudflare = &record.targets[&Target::Cloudflare];
    assert_eq!(cloudflare.state, TargetState::Blocked);
    assert!(cloudflare.error.as_ref().unwrap().contains(id), "{cloudflare:?}");
    for target in [Target::Technitium, Target::Velocity] {
        assert_eq!(record.targets[&target].state, TargetState::Published);
    }
    assert_eq!(scene.zone("cloudflare").await.len(), 1);
    assert_eq!(scene.writes().await[0], 0);
    // The operator removes it; nothing else has to be done.
    scene.rig.control("DELETE", &format!("/sim/cloudflare/records/{id}"), Value::Null).await;
    assert_eq!(scene.settle(vmid).await.state(), EdgeState::Published);
    scene.expect_clean(vmid, EDGE, &Others::default()).await;
}

/// Case 5 at Technitium, whose writes replace everything of their name and type: nothing is sent to it.
#[tokio::test]
async fn nothing_is_written_over_a_foreign_record_at_the_internal_server() {
    let service = format!("_minecraft._tcp.{NAME}");
    let strangers = [
        json!({"domain": NAME, "type": "A", "ipAddress": "198.51.100.1", "comments": "by hand"}),
        json!({"domain": NAME, "type": "AAAA", "ipAddress": "2001:db8::1"}),
        json!({"domain": NAME, "type": "CNAME", "cname": "elsewhere.example"}),
        json!({"domain": service, "type": "SRV", "priority": 1, "weight": 1, "port": 1, "target": "other.example"}),
        json!({"domain": service, "type": "CNAME", "cname": "elsewhere.example"}),
    ];
    for stranger in strangers {
        let scene = Scene::new().await;
        let vmid = scene.server(5013, "minecraft").await;
        scene.plant_inside(stranger.clone()).await;
        let [_, held] = both(&scene).await;
        let record = scene.publisher.publish(vmid, TargetSelection::All, None).await.unwrap().unwrap();
        assert_eq!(record.targets[&Target::Cloudflare].state, TargetState::Published, "{stranger}");
        let technitium = &record.targets[&Target::Technitium];
        assert_eq!(technitium.state, TargetState::Blocked, "{stranger}: {technitium:?}");
        let at = stranger["domain"].as_str().unwrap();
        assert!(technitium.error.as_ref().unwrap().contains(at), "{stranger}: {technitium:?}");
        // Beside an address of another type ours is still written.
        let written = if stranger["type"] == "AAAA" { 2 } else { 0 };
        assert_eq!(scene.writes().await[1], written, "{stranger}");
        for row in &held {
            assert!(both(&scene).await[1].contains(row), "publishing touched {row}");
        }
        scene.publisher.unpublish(vmid, None).await.unwrap();
        assert_eq!(both(&scene).await, [Vec::new(), held], "{stranger}");
    }
}

/// Case 6: whatever a row says, no peer is called for a name that no server can have.
#[tokio::test]
async fn the_apex_and_reserved_names_are_refused_before_any_call() {
    let scene = Scene::new().await;
    let vmid = scene.server(5013, "minecraft").await;
    let names = ["", "@", "ns1", "www", "mail", "_minecraft", "*", ZONE, "WWW", "a.b", "mc-1.", "-"];
    for name in names {
        instance::Entity::update_many()
            .col_expr(instance::Column::Hostname, Expr::value(name))
            .filter(instance::Column::Vmid.eq(vmid))
            .exec(&scene.db.db)
            .await
            .unwrap();
        let refused = scene.publisher.publish(vmid, TargetSelection::All, None).await.unwrap_err();
        // A row with an invalid host name cannot even be read.
        let is_host = name.parse::<Hostname>().is_ok();
        match refused {
            PublishError::NotPublishable(_) => assert!(is_host, "`{name}`"),
            PublishError::Payload(error) => assert!(!is_host, "`{name}`: {error}"),
            other => panic!("`{name}`: {other:?}"),
        }
    }
    for peer in PEERS {
        assert_eq!(scene.rig.journal(peer).await, Vec::<Value>::new(), "{peer}");
    }
}

/// Cases 6 and 8, over random zones: the apex, names that begin like ours, other owners' marks, every type.
#[tokio::test(flavor = "multi_thread")]
async fn no_foreign_record_is_changed_in_any_zone() {
    let mut runner = TestRunner::new(Config::default());
    let record = foreign();
    for _ in 0..24 {
        let zone = prop::collection::vec(record.clone(), 0..12).new_tree(&mut runner).unwrap().current();
        let scene = Scene::new().await;
        let vmid = scene.server(5013, "minecraft").await;
        for record in &zone {
            scene.plant(record.clone()).await;
            if let Some(inside) = at_technitium(record, &scene.zone("technitium").await) {
                scene.plant_inside(inside).await;
            }
        }
        let others = Others { cloudflare: scene.zone("cloudflare").await, technitium: scene.zone("technitium").await };
        let all = both(&scene).await;
        let published = scene.publisher.publish(vmid, TargetSelection::All, None).await.unwrap().unwrap();
        for (peer, (before, now)) in PEERS.into_iter().zip(all.iter().zip(&both(&scene).await)) {
            for row in before {
                assert!(now.contains(row), "{peer}: publishing touched {row} of {zone:?}");
            }
        }
        let again = scene.publisher.publish(vmid, TargetSelection::All, None).await.unwrap().unwrap();
        assert_eq!(published.state(), again.state(), "{zone:?}");
        scene.publisher.unpublish(vmid, None).await.unwrap();
        scene.expect_gone(&others).await;
        assert_eq!(both(&scene).await, all, "taking back touched {zone:?}");
    }
}

/// Everything that Cloudflare and Technitium hold, as it is stored.
async fn both(scene: &Scene) -> [Vec<Value>; 2] {
    let state = scene.rig.control("GET", "/sim/state", Value::Null).await;
    [&state["cloudflare"]["records"], &state["technitium"]["records"]].map(|held| held.as_array().unwrap().clone())
}

/// The same record for the console of Technitium, unless it would refuse it beside what it holds.
fn at_technitium(record: &Value, held: &BTreeSet<(String, String, String, String)>) -> Option<Value> {
    let (kind, name) = (record["type"].as_str().unwrap(), record["name"].as_str().unwrap());
    let domain = if name == "@" { ZONE.to_owned() } else { format!("{name}.{ZONE}") };
    let excludes = |other: &str| other == "CNAME" || kind == "CNAME" || other == kind;
    if held.iter().any(|held| held.0 == domain && excludes(&held.1)) {
        return None;
    }
    let mut inside = json!({"domain": domain, "type": kind, "comments": record["comment"], "ttl": 300});
    match kind {
        "A" | "AAAA" => inside["ipAddress"] = record["content"].clone(),
        "CNAME" => inside["cname"] = record["content"].clone(),
        "SRV" => {
            for (key, value) in record["data"].as_object().unwrap() {
                inside[key] = value.clone();
            }
        }
        _ => return None,
    }
    Some(inside)
}

/// A foreign record: none carries our server's mark.
fn foreign() -> impl Strategy<Value = Value> + Clone {
    let name = prop::sample::select(vec![
        "@",
        "www",
        "mc-paper-50",
        "mc-paper-5013",
        "mc-paper-50130",
        "xmc-paper-5013",
        "sub.mc-paper-5013",
        "_minecraft._tcp.mc-paper-5013",
        "_minecraft._tcp.mc-paper-50",
    ]);
    let comment =
        prop::sample::select(vec!["", "by hand", "zpack vmid=50 gen=1", "zpack vmid=50130 gen=2", "zpack vmid=5013"]);
    let kind = prop::sample::select(vec!["A", "AAAA", "TXT", "SRV", "CNAME"]);
    (name, comment, kind, 1u8..250).prop_map(|(name, comment, kind, number)| {
        let mut record = json!({"type": kind, "name": name, "comment": comment, "ttl": 300});
        match kind {
            "A" => record["content"] = json!(format!("198.51.100.{number}")),
            "AAAA" => record["content"] = json!(format!("2001:db8::{number}")),
            "TXT" => record["content"] = json!(format!("text {number}")),
            "CNAME" => record["content"] = json!(format!("host-{number}.example")),
            _ => record["data"] = json!({"priority": 1, "weight": 1, "port": number, "target": "other.example"}),
        }
        record
    })
}

/// A record of someone else that cannot be parsed says nothing about ours.
#[tokio::test]
async fn an_unreadable_foreign_record_makes_only_its_row_unreadable() {
    let scene = Scene::new().await;
    let vmid = scene.server(5013, "minecraft").await;
    let srv = json!({"priority": 1, "weight": 1, "port": 1, "target": "other.example"});
    for (record, view) in [
        (json!({"type": "A", "name": "www", "content": "198.51.100.1"}), json!({"content": "not an address"})),
        (json!({"type": "SRV", "name": "_sip._udp", "data": srv}), json!({"data": {"target": 5}, "content": "x"})),
        (json!({"type": "CNAME", "name": "shop", "content": "a.example"}), json!({"content": "a b c"})),
        (json!({"type": "AAAA", "name": "v6", "content": "2001:db8::1"}), json!({"content": null})),
    ] {
        let mut record = record;
        record["view"] = view;
        scene.plant(record).await;
    }
    let zone = match scene.publisher.targets.get(Target::Cloudflare).unwrap().holdings() {
        Holdings::Records(zone) => zone,
        Holdings::Registrations(_) | Holdings::Nothing => panic!("it holds records"),
    };
    assert_eq!(zone.list().await.unwrap().len(), 4);
    scene.publish(vmid).await;
    // At our own name it is in the way like any other.
    let id = scene.plant(json!({"type": "A", "name": NAME, "content": "198.51.100.1", "view": {"content": "?"}})).await;
    let record = scene.publisher.publish(vmid, TargetSelection::All, None).await.unwrap().unwrap();
    let cloudflare = &record.targets[&Target::Cloudflare];
    assert_eq!(cloudflare.state, TargetState::Blocked, "{cloudflare:?}");
    assert!(cloudflare.error.as_ref().unwrap().contains(id["id"].as_str().unwrap()), "{cloudflare:?}");
}
