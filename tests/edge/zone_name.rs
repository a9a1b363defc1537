//! Settings that name another zone than the one that the DNS server writes to.

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use zpack::background::Task;
use zpack::edge::{EdgeError, EdgeState, Target, TargetState};
use zpack::kernel::{Secret, VmId};
use zpack::ports::ZoneError;
use zpack::publishing::{Publisher, SettingsCheck, TargetSelection};

use super::kit::{Means, Scene};

/// What is stored of `target` after server 5013 was published by `publisher`.
async fn published(scene: &Scene, publisher: &Publisher, target: Target) -> (TargetState, String) {
    let vmid = scene.server(5013, "minecraft").await;
    let record = publisher.publish(vmid, TargetSelection::All, None).await.unwrap().unwrap();
    let stored = &record.targets[&target];
    (stored.state, stored.error.clone().unwrap_or_default())
}

/// Deleting must not call clean what it cannot see.
async fn unpublished(publisher: &Publisher, target: Target) {
    let vmid = VmId::new(5013).unwrap();
    let record = publisher.unpublish(vmid, None).await.unwrap().unwrap();
    assert_eq!((record.state(), record.targets[&target].state), (EdgeState::Unpublishing, TargetState::Blocked));
}

async fn checked(publisher: &Publisher, target: Target) -> Option<String> {
    match publisher.targets.get(target).unwrap().check().await {
        Ok(_) => None,
        Err(EdgeError::Zone { source: error @ ZoneError::Misconfigured { .. }, .. }) => Some(error.to_string()),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_id_of_another_zone_at_cloudflare_is_found_before_anything_is_written() {
    let scene = Scene::new().await;
    let publisher = scene.in_zone("other.test");
    let found = checked(&publisher, Target::Cloudflare).await.unwrap_or_default();
    for word in ["play.zpack.test", "other.test", "CLOUDFLARE_ZONE_ID", "ZPACK_ZONE"] {
        assert!(found.contains(word), "`{word}` is not in: {found}");
    }
    // What the worker logs at its start.
    let stop = CancellationToken::new();
    let mut at_start = SettingsCheck { targets: publisher.targets.clone() };
    let failed = at_start.pass(&stop).await.unwrap_err().to_string();
    assert!(failed.contains("CLOUDFLARE_ZONE_ID") && failed.contains("technitium"), "{failed}");
    SettingsCheck { targets: scene.publisher.targets.clone() }.pass(&stop).await.unwrap();
    let (state, error) = published(&scene, &publisher, Target::Cloudflare).await;
    assert_eq!(scene.zone("cloudflare").await, [].into());
    assert_eq!(state, TargetState::Blocked, "{error}");
    unpublished(&publisher, Target::Cloudflare).await;
    assert_eq!(scene.writes().await[0], 0);
    assert_eq!(checked(&scene.publisher, Target::Cloudflare).await, None);
}

/// A token for records only cannot read the zone's name: the name in the first answer is compared.
#[tokio::test]
async fn a_record_that_was_created_under_another_name_is_removed_at_once() {
    let scene = Scene::new().await;
    let made = scene.rig.steer("/sim/cloudflare/tokens", json!({"zone": false})).await;
    let token = made["token"].as_str().unwrap().to_owned();
    let scene = Scene::with_rig(scene.rig, |means| Means { cloudflare: Secret::new(token).into(), ..means }).await;
    let publisher = scene.in_zone("other.test");
    let (state, error) = published(&scene, &publisher, Target::Cloudflare).await;
    assert_eq!(scene.zone("cloudflare").await, [].into());
    assert_eq!(state, TargetState::Blocked, "{error}");
    assert!(error.contains("mc-paper-5013.other.test.play.zpack.test"), "{error}");
    unpublished(&publisher, Target::Cloudflare).await;
    // It knows by now, and writes no more.
    let written = scene.writes().await[0];
    publisher.publish(VmId::new(5013).unwrap(), TargetSelection::All, None).await.unwrap();
    assert_eq!((scene.writes().await[0], scene.zone("cloudflare").await), (written, [].into()));
    // With the right zone such a token is good enough.
    scene.publish(scene.server(5014, "minecraft").await).await;
}

/// The listing of another zone has names that are not in ours; they are not read as relative ones.
#[tokio::test]
async fn names_of_another_zone_are_not_taken_for_relative_ones() {
    let scene = Scene::new().await;
    let made = scene.rig.steer("/sim/cloudflare/tokens", json!({"zone": false})).await;
    let token = made["token"].as_str().unwrap().to_owned();
    let scene = Scene::with_rig(scene.rig, |means| Means { cloudflare: Secret::new(token).into(), ..means }).await;
    scene.plant(json!({"type": "A", "name": "www", "content": "198.51.100.1"})).await;
    let publisher = scene.in_zone("other.test");
    assert!(checked(&publisher, Target::Cloudflare).await.is_some_and(|error| error.contains("play.zpack.test")));
    let (state, error) = published(&scene, &publisher, Target::Cloudflare).await;
    assert_eq!(state, TargetState::Blocked, "{error}");
    assert_eq!(scene.writes().await[0], 0);
}

/// Technitium takes the nearest enclosing zone for one that it does not have.
#[tokio::test]
async fn the_enclosing_zone_at_technitium_is_not_ours() {
    let scene = Scene::new().await;
    let publisher = scene.in_zone("deep.play.zpack.test");
    let found = checked(&publisher, Target::Technitium).await.unwrap_or_default();
    for word in ["deep.play.zpack.test", "zone play.zpack.test", "ZPACK_ZONE"] {
        assert!(found.contains(word), "`{word}` is not in: {found}");
    }
    let (state, error) = published(&scene, &publisher, Target::Technitium).await;
    assert_eq!(scene.zone("technitium").await, [].into());
    assert_eq!(state, TargetState::Blocked, "{error}");
    unpublished(&publisher, Target::Technitium).await;
    assert_eq!(scene.writes().await[1], 0);
    // Once the zone is there, the worker continues.
    let token = scene.rig.world.technitium().token();
    let form = [("zone", "deep.play.zpack.test"), ("type", "Primary"), ("token", token.as_str())];
    let (_, made) = scene.rig.technitium_as(&form, None, "zones/create").await;
    assert_eq!(made["status"], "ok", "{made}");
    let vmid = scene.server(5014, "minecraft").await;
    let record = publisher.publish(vmid, TargetSelection::All, None).await.unwrap().unwrap();
    assert_eq!(record.targets[&Target::Technitium].state, TargetState::Published, "{}", record.problems());
    assert_eq!(scene.rig.state("technitium").await["zones"][0]["records"], Value::Array(Vec::new()));
}
