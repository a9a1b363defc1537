//! An error page is no answer of a peer, and an outage whose cause changes is reported again.

use sea_orm::{ActiveValue::Set, EntityTrait};
use serde_json::json;
use zpack::db::entities::debt::{self, DebtKind, DebtState};
use zpack::edge::{EdgeState, Target, TargetState};
use zpack::kernel::{DebtId, OperationId, VmId};
use zpack::publishing::TargetSelection;
use zpack::telemetry::Outage;

use super::kit::{EDGE, Others, Scene};
use super::trouble::health;
use crate::support::logs::Logs;

/// A firewall in front of a peer, or its provider, answers one call: the next one is made, and no server is blocked.
#[tokio::test]
async fn a_page_that_blocks_one_call_refuses_no_token() {
    for (peer, target) in
        [("cloudflare", Target::Cloudflare), ("technitium", Target::Technitium), ("velocity", Target::Velocity)]
    {
        for status in [401, 403] {
            let scene = Scene::in_its_time().await;
            let (one, two) = (scene.server(5013, "minecraft").await, scene.server(5014, "minecraft").await);
            let page = json!({"peer": peer, "when": "before", "action": "html", "status": status});
            scene.rig.fault(page).await;
            let record = scene.publisher.publish(one, TargetSelection::All, None).await.unwrap().unwrap();
            let stored = &record.targets[&target];
            assert_eq!(stored.state, TargetState::Retrying, "{peer} {status}: {stored:?}");
            assert_eq!(scene.publish(two).await.state(), EdgeState::Published, "{peer} {status}");
            scene.publisher.unpublish(two, None).await.unwrap();
            scene.settle(one).await;
            scene.expect_clean(one, EDGE, &Others::default()).await;
        }
    }
}

#[test]
fn an_outage_that_changes_its_cause_is_logged_again() {
    let logs = Logs::of_this_thread();
    let outage = Outage::of("reading the zone");
    for error in ["timed out after 31 ms", "timed out after 47 ms", "the token is refused", "the token is refused"] {
        outage.failed(error);
    }
    let warned = |logs: &Logs| logs.with("WARN").len();
    assert_eq!(warned(&logs), 2, "{:?}", logs.with("reading the zone"));
    outage.works();
    outage.failed("the token is refused");
    assert_eq!(warned(&logs), 3, "a new outage");
}

/// What is left at a peer of servers that are deleted: nothing else in the health of the edge shows it.
#[tokio::test]
async fn health_counts_open_debts() {
    let scene = Scene::new().await;
    assert_eq!(health(&scene).await["debts"], json!(0));
    let kinds = [DebtKind::Edge(Target::Cloudflare), DebtKind::Edge(Target::Cloudflare), DebtKind::Container];
    for (number, kind) in (5001..).zip(kinds) {
        let (now, vmid) = (scene.clock.now(), VmId::new(number).unwrap());
        let row = debt::ActiveModel {
            id: Set(DebtId::generate()),
            operation_id: Set(OperationId::generate()),
            kind: Set(kind),
            vmid: Set(Some(vmid)),
            node: Set(None),
            detail: Set("left".to_owned()),
            subject: Set(None),
            state: Set(DebtState::Open),
            attempts: Set(0),
            next_attempt_at: Set(None),
            last_error: Set(None),
            created_at: Set(now),
            updated_at: Set(now),
        };
        debt::Entity::insert(row).exec_without_returning(&scene.db.db).await.unwrap();
    }
    let health = health(&scene).await;
    assert_eq!((&health["debts"], &health["ok"]), (&json!(3), &json!(true)), "{health}");
    for target in health["targets"].as_array().unwrap() {
        let left = if target["target"] == "cloudflare" { 2 } else { 0 };
        assert_eq!(target["debts"], json!(left), "{health}");
    }
}
