//! Case 19: records and registrations of no server and no debt are removed by the second pass, and never by guesswork.

use std::collections::BTreeSet;
use std::sync::Arc;

use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseConnection, EntityTrait, QueryFilter};
use serde_json::{Value, json};
use zpack::adapters::proxmox::{Proxmox, ProxmoxSettings};
use zpack::db::entities::reservation::{self, ReservationState};
use zpack::db::entities::{deleted_instance, instance};
use zpack::edge::EdgeError;
use zpack::kernel::{Clock, OperationId, Secret, VmId};
use zpack::teardown::{OrphanSweep, OrphanSweepDeps, OrphanSweepError};

use super::kit::{PORT, Scene};
use crate::contracts::proxmox_kit;
use crate::contracts::zone_kit::ZONE;

/// A scene in which `servers` are published, and the sweep over it.
async fn scene(servers: std::ops::Range<i64>) -> (Scene, OrphanSweep) {
    let scene = Scene::new().await;
    for number in servers {
        let vmid = scene.server(number, "minecraft").await;
        scene.publish(vmid).await;
    }
    let base = scene.rig.world.proxmox_url().parse().unwrap();
    let token = Secret::new(scene.rig.world.proxmox_token()).into();
    let hypervisor = Proxmox::new(&ProxmoxSettings { token, ..proxmox_kit::settings([base]) }, Clock::System).unwrap();
    let deps = OrphanSweepDeps {
        db: scene.db.db.clone(),
        hypervisor: Arc::new(hypervisor),
        targets: scene.publisher.targets.clone(),
        zone: Some(ZONE.parse().unwrap()),
    };
    (scene, OrphanSweep::new(deps))
}

/// What a server that is long gone left at both DNS servers.
async fn leave(scene: &Scene, number: i64) {
    give_back(&scene.db.db, number).await;
    let name = format!("mc-paper-{number}.{ZONE}");
    let comment = format!("zpack vmid={number} gen=3");
    scene.plant(json!({"type": "A", "name": name, "content": "203.0.113.1", "comment": comment})).await;
    let data = json!({"priority": 0, "weight": 5, "port": PORT, "target": name});
    let service = format!("_minecraft._tcp.{name}");
    scene.plant(json!({"type": "SRV", "name": service, "data": data, "comment": comment})).await;
    scene.plant_inside(json!({"domain": name, "type": "A", "ipAddress": "203.0.113.1", "comments": comment})).await;
}

/// Records that a VMID was held and released.
pub async fn give_back(db: &DatabaseConnection, number: i64) {
    let row = reservation::ActiveModel {
        vmid: Set(VmId::new(number).unwrap()),
        hostname: Set(format!("mc-paper-{number}").parse().unwrap()),
        state: Set(ReservationState::Released),
        operation_id: Set(OperationId::generate()),
        created_at: Set(Clock::System.now()),
        ..Default::default()
    };
    reservation::Entity::insert(row).exec_without_returning(db).await.unwrap();
}

/// Deletes the row of a published server, all of which stays where it was published.
async fn forget(scene: &Scene, vmid: VmId) {
    let (row, now) = (scene.row(vmid).await, scene.clock.now());
    let archived = deleted_instance::ActiveModel {
        id: Set(row.id),
        vmid: Set(vmid),
        hostname: Set(row.hostname.clone()),
        user_id: Set(row.user_id),
        operation_id: Set(row.operation_id),
        teardown_id: Set(OperationId::generate()),
        deleted_by: Set("internal".to_owned()),
        snapshot: Set(zpack::teardown::snapshot(&row).to_string()),
        archived_at: Set(now),
        finished_at: Set(Some(now)),
    };
    deleted_instance::Entity::insert(archived).exec_without_returning(&scene.db.db).await.unwrap();
    instance::Entity::delete_by_id(row.id).exec(&scene.db.db).await.unwrap();
    give_back(&scene.db.db, vmid.get().into()).await;
}

/// How many records both zones hold.
async fn held(scene: &Scene) -> (usize, usize) {
    (scene.zone("cloudflare").await.len(), scene.zone("technitium").await.len())
}

#[tokio::test]
async fn an_orphan_is_removed_by_the_second_pass_and_nothing_else_is() {
    let (scene, mut sweep) = scene(5001..5004).await;
    let servers = (scene.zone("cloudflare").await, scene.zone("technitium").await);
    leave(&scene, 5013).await;
    // None of these is ours: a foreign name with our mark, our name without a mark, a foreign comment.
    for (name, comment) in [("www", "zpack vmid=5013 gen=1"), ("mc-paper-5014", ""), ("mc-paper-5015", "zpack")] {
        scene.plant(json!({"type": "A", "name": name, "content": "198.51.100.1", "comment": comment})).await;
    }
    assert_eq!(sweep.sweep().await.unwrap(), 0, "seen once");
    assert_eq!(held(&scene).await, (6 + 2 + 3, 6 + 1));
    assert_eq!(sweep.sweep().await.unwrap(), 3);
    assert_eq!(held(&scene).await, (6 + 3, 6));
    assert!(scene.zone("cloudflare").await.is_superset(&servers.0));
    assert_eq!(scene.zone("technitium").await, servers.1);
    let written = scene.writes().await;
    for _ in 0..2 {
        assert_eq!(sweep.sweep().await.unwrap(), 0);
    }
    assert_eq!(scene.writes().await, written);
}

#[tokio::test]
async fn a_record_that_changes_between_two_passes_counts_as_new() {
    let (scene, mut sweep) = scene(5001..5002).await;
    give_back(&scene.db.db, 5013).await;
    let plant = async |content: &str| {
        let record =
            json!({"type": "A", "name": "mc-paper-5013", "content": content, "comment": "zpack vmid=5013 gen=1"});
        scene.plant(record).await["id"].as_str().unwrap().to_owned()
    };
    let first = plant("203.0.113.1").await;
    assert_eq!(sweep.sweep().await.unwrap(), 0);
    scene.rig.control("DELETE", &format!("/sim/cloudflare/records/{first}"), Value::Null).await;
    plant("203.0.113.2").await;
    assert_eq!(sweep.sweep().await.unwrap(), 0, "another one");
    assert_eq!(sweep.sweep().await.unwrap(), 1);
}

#[tokio::test]
async fn an_unreadable_or_implausible_listing_removes_nothing_and_counting_begins_again() {
    type Expected = fn(&OrphanSweepError) -> bool;
    let (scene, mut sweep) = scene(5001..5004).await;
    leave(&scene, 5013).await;
    let before = held(&scene).await;
    let sql = async |statement: &str| {
        scene.db.db.execute_unprepared(statement).await.unwrap();
    };
    let list_fault = json!({"peer": "proxmox", "when": "before", "action": "reset", "times": 1000});
    let table: [(&str, Expected); 5] = [
        ("zone", |error| matches!(error, OrphanSweepError::Target(EdgeError::Zone { .. }))),
        ("cluster", |error| matches!(error, OrphanSweepError::Cluster(_))),
        ("node", |error| matches!(error, OrphanSweepError::Cluster(_))),
        ("database", |error| matches!(error, OrphanSweepError::Database(_))),
        ("empty", |error| matches!(error, OrphanSweepError::Doubtful { .. })),
    ];
    for (trouble, expected) in table {
        // Seen once before the failure: the next good pass must not count as the second.
        let mut sweep = OrphanSweep::new(sweep.deps().clone());
        assert_eq!(sweep.sweep().await.unwrap(), 0, "{trouble}");
        match trouble {
            "zone" => {
                for peer in ["cloudflare", "technitium"] {
                    scene.rig.fault(json!({"peer": peer, "when": "before", "action": "reset", "times": 10})).await;
                }
            }
            "cluster" => scene.rig.fault(list_fault.clone()).await,
            "node" => drop(scene.rig.steer("/sim/proxmox/nodes/pve2", json!({"online": false})).await),
            "database" => sql("ALTER TABLE instances RENAME TO away").await,
            _ => {
                sql("CREATE TABLE away AS SELECT * FROM instances").await;
                sql("DELETE FROM instances").await;
            }
        }
        let error = sweep.sweep().await.unwrap_err();
        assert!(expected(&error), "{trouble}: {error:?}");
        match trouble {
            "node" => drop(scene.rig.steer("/sim/proxmox/nodes/pve2", json!({"online": true})).await),
            "zone" | "cluster" => drop(scene.rig.control("DELETE", "/sim/faults", Value::Null).await),
            "database" => sql("ALTER TABLE away RENAME TO instances").await,
            _ => {
                sql("INSERT INTO instances SELECT * FROM away").await;
            }
        }
        assert_eq!(sweep.sweep().await.unwrap(), 0, "{trouble}: a first look again");
        assert_eq!(held(&scene).await, before, "{trouble}");
    }
    sweep.sweep().await.unwrap();
    assert_eq!(sweep.sweep().await.unwrap(), 3);
}

#[tokio::test]
async fn many_at_once_are_a_sign_of_something_else() {
    let (scene, mut sweep) = scene(5001..5006).await;
    leave(&scene, 5013).await;
    leave(&scene, 5014).await;
    let before = held(&scene).await;
    for _ in 0..3 {
        let error = sweep.sweep().await.unwrap_err();
        assert!(error.to_string().contains("2 of 7 servers"), "{error}");
    }
    assert_eq!(held(&scene).await, before);
}

#[tokio::test]
async fn a_number_that_is_held_has_a_container_or_was_never_ours_is_left_alone() {
    let (scene, mut sweep) = scene(5001..5002).await;
    leave(&scene, 5013).await;
    // The template has that number.
    scene
        .plant(json!({"type": "A", "name": "x-9000", "content": "198.51.100.1", "comment": "zpack vmid=9000 gen=1"}))
        .await;
    // Another installation has this VMID, which our database does not know.
    let elsewhere =
        json!({"type": "A", "name": "mc-paper-7001", "content": "198.51.100.1", "comment": "zpack vmid=7001 gen=1"});
    scene.plant(elsewhere).await;
    give_back(&scene.db.db, 9000).await;
    let state = async |state: ReservationState| {
        reservation::Entity::update_many()
            .col_expr(reservation::Column::State, Expr::value(state))
            .filter(reservation::Column::Vmid.eq(5013))
            .exec(&scene.db.db)
            .await
            .unwrap();
    };
    state(ReservationState::Held).await;
    let before = held(&scene).await;
    for _ in 0..3 {
        assert_eq!(sweep.sweep().await.unwrap(), 0);
    }
    assert_eq!(held(&scene).await, before);
    // After a release between two passes it takes two more.
    state(ReservationState::Released).await;
    assert_eq!(sweep.sweep().await.unwrap(), 0);
    assert_eq!(sweep.sweep().await.unwrap(), 3);
    let left: BTreeSet<String> = scene.zone("cloudflare").await.into_iter().map(|record| record.0).collect();
    assert!(left.contains(&format!("x-9000.{ZONE}")) && left.contains(&format!("mc-paper-7001.{ZONE}")));
}

#[tokio::test]
async fn a_registration_is_removed_when_the_archive_has_it_and_its_vmid_is_free() {
    let (scene, mut sweep) = scene(5001..5003).await;
    let gone = scene.server(5013, "minecraft").await;
    scene.publish(gone).await;
    let proxy = scene.proxy();
    let hand = async |name: &str, address: &str| {
        proxy.register(&name.parse().unwrap(), address.parse().unwrap()).await.unwrap();
    };
    // An operator's own, and one of a VMID that is free and not in the archive.
    hand("lobby", "10.60.0.250:25565").await;
    hand(&format!("mc-paper-5014.{ZONE}"), "10.60.0.7:25565").await;
    give_back(&scene.db.db, 5014).await;
    for _ in 0..2 {
        assert_eq!(sweep.sweep().await.unwrap(), 0, "all of them have a server, or no history");
    }
    forget(&scene, gone).await;
    let name = format!("mc-paper-5013.{ZONE}");
    // Registered again by hand, elsewhere: that is not what was published.
    hand(&name, "10.60.0.99:25565").await;
    let mut elsewhere = OrphanSweep::new(sweep.deps().clone());
    for _ in 0..2 {
        elsewhere.sweep().await.unwrap();
    }
    assert_eq!(scene.registered().await.len(), 5);
    hand(&name, "10.60.0.7:25565").await;
    assert_eq!(sweep.sweep().await.unwrap(), 0, "seen once");
    // A listing that fails does not count.
    scene.rig.fault(json!({"peer": "velocity", "when": "before", "action": "reset", "times": 10})).await;
    assert!(matches!(sweep.sweep().await, Err(OrphanSweepError::Target(EdgeError::Proxy(_)))));
    scene.rig.control("DELETE", "/sim/faults", Value::Null).await;
    assert_eq!(sweep.sweep().await.unwrap(), 0, "a first pass again");
    assert_eq!(sweep.sweep().await.unwrap(), 1);
    let left: BTreeSet<String> = scene.registered().await.into_iter().map(|server| server.0).collect();
    let expected = ["lobby", "mc-paper-5001.", "mc-paper-5002.", "mc-paper-5014."];
    assert_eq!(
        left,
        expected.map(|name| if name.ends_with('.') { format!("{name}{ZONE}") } else { name.to_owned() }).into()
    );
}
