//! Who may change the power of a server, at request time and when the job runs, and what the game's agent answers.

use reqwest::{Method, StatusCode};
use sea_orm::ActiveValue::Set;
use sea_orm::{EntityTrait, QueryOrder};
use serde_json::{Value, json};
use zpack::accounts::admin;
use zpack::db::entities::audit_event;
use zpack::db::entities::standing::{self, StandingState};
use zpack::db::entities::user::Role;
use zpack::kernel::{Clock, UserId};

use super::power::Scene;

impl Scene {
    async fn owner(&self) -> UserId {
        let answer = self.door.get("/api/auth/me").bearer_auth(&self.token).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["user"]["id"].as_str().unwrap().parse().unwrap()
    }

    /// Sets the owner's standing and hold.
    async fn standing(&self, state: StandingState, manual_hold: bool) {
        let (db, now) = (&self.company.db.db, Clock::System.now());
        let user_id = Set(self.owner().await);
        standing::Entity::delete_many().exec(db).await.unwrap();
        let row = standing::ActiveModel {
            user_id,
            state: Set(state),
            manual_hold: Set(manual_hold),
            reason: Set(None),
            since: Set(now),
            version: Set(1),
            updated_at: Set(now),
        };
        standing::Entity::insert(row).exec_without_returning(db).await.unwrap();
    }

    /// Status and code of the answer.
    async fn refusal(&self, what: &str) -> (u16, String) {
        let (status, problem) = self.post(what, None).await;
        (status.as_u16(), problem["code"].as_str().unwrap_or_default().to_owned())
    }
}

const SUSPENDED: (StandingState, bool) = (StandingState::Suspended, false);
const HELD: (StandingState, bool) = (StandingState::Active, true);

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_or_held_account_may_stop_but_not_start() {
    let scene = Scene::new().await;
    let host = scene.company.host_worker();
    for ((state, hold), refused) in [(SUSPENDED, (402, "billing_suspended")), (HELD, (403, "account_hold"))] {
        scene.standing(state, hold).await;
        for what in ["host/start", "host/restart", "game/start", "game/restart"] {
            let (status, code) = scene.refusal(what).await;
            assert_eq!((status, code.as_str()), refused, "{what}");
        }
        assert!(scene.runs().await);
        assert_eq!(scene.post("game/stop", None).await.0, StatusCode::OK);
        scene.company.succeeded(scene.accepted("host/stop").await).await;
        assert!(!scene.runs().await);
        scene.edit(json!({"status": "running"})).await;
        let agent = || async {
            let state = scene.company.state().await;
            (state["agents"][0]["up"] == true).then_some(())
        };
        scene.company.wait("the agent to be up", agent).await;
    }
    host.stop().await;
    scene.door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_checks_the_gate_again_before_it_begins() {
    let scene = Scene::new().await;
    for ((state, hold), code) in [(SUSPENDED, "billing_suspended"), (HELD, "account_hold")] {
        scene.standing(StandingState::Active, false).await;
        // Accepted while no worker runs.
        let restart = scene.accepted("host/restart").await;
        scene.standing(state, hold).await;
        let host = scene.company.host_worker();
        scene.failed(restart, code).await;
        host.stop().await;
    }
    assert!(scene.runs().await);
    assert_eq!(scene.asked("proxmox", "/status/shutdown").await, 0);

    scene.edit(json!({"status": "stopped"})).await;
    scene.standing(StandingState::Active, false).await;
    let start = scene.accepted("host/start").await;
    scene.standing(HELD.0, HELD.1).await;
    let host = scene.company.host_worker();
    scene.failed(start, "account_hold").await;
    assert!(!scene.runs().await);
    host.stop().await;
    scene.door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_does_not_start_a_server_held_during_its_stop() {
    let scene = Scene::new().await;
    let host = scene.company.host_worker();
    scene.edit(json!({"lock": "backup"})).await;
    let restart = scene.accepted("host/restart").await;
    let waits = || async { (scene.asked("proxmox", "/status/shutdown").await > 0).then_some(()) };
    scene.company.wait("a shutdown that was asked for", waits).await;
    scene.standing(HELD.0, HELD.1).await;
    scene.edit(json!({"lock": null})).await;
    scene.failed(restart, "account_hold").await;
    assert!(!scene.runs().await);
    host.stop().await;
    scene.door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_power_of_another_owners_server_is_404() {
    let scene = Scene::new().await;
    let other = scene.door.register("bob").await;
    let admin = scene.door.admin("root").await;
    for what in ["host/start", "host/stop", "host/restart", "game/start", "game/stop", "game/restart"] {
        let path = format!("/api/servers/{}/{what}", scene.vmid);
        for token in [&other, &admin] {
            let answer = scene.door.request(Method::POST, &path).bearer_auth(token).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{what}");
        }
        let answer = scene.door.request(Method::POST, &path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{what}");
    }
    assert_eq!(scene.asked("agent", "/stop").await, 0);
    scene.door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_override_of_a_closed_gate_is_audited() {
    let scene = Scene::new().await;
    let host = scene.company.host_worker();
    let db = &scene.company.db.db;
    let (owner, now) = (scene.owner().await, Clock::System.now());
    admin::set_role(db, "ada", Role::Admin, now).await.unwrap();
    // An open gate needs no audit event.
    scene.company.succeeded(scene.accepted("host/restart").await).await;
    assert!(overrides(&scene).await.is_empty());
    scene.standing(HELD.0, HELD.1).await;
    scene.company.succeeded(scene.accepted("host/stop").await).await;
    assert!(overrides(&scene).await.is_empty());
    scene.company.succeeded(scene.accepted("host/start").await).await;
    assert!(scene.runs().await);
    let entries = overrides(&scene).await;
    assert_eq!(entries.len(), 1);
    assert_eq!((entries[0].actor.as_str(), entries[0].subject.as_str()), (owner.to_string().as_str(), "server:5000"));
    assert!(entries[0].detail.as_ref().unwrap().contains("account_hold"));
    // A request that is not accepted overrides nothing.
    scene.edit(json!({"lock": "backup"})).await;
    let stop = scene.accepted("host/stop").await;
    assert_eq!(scene.refusal("host/start").await, (409, "host_operation_in_progress".to_owned()));
    assert_eq!(overrides(&scene).await.len(), 1);
    scene.edit(json!({"lock": null})).await;
    scene.company.succeeded(stop).await;
    let _ = scene.post("game/start", None).await;
    assert_eq!(overrides(&scene).await.len(), 2);
    host.stop().await;
    scene.door.close().await;
}

async fn overrides(scene: &Scene) -> Vec<audit_event::Model> {
    let all =
        audit_event::Entity::find().order_by_asc(audit_event::Column::Id).all(&scene.company.db.db).await.unwrap();
    all.into_iter().filter(|entry| entry.action == "gate_override").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_agent_is_passed_on_with_its_message() {
    let scene = Scene::new().await;
    for (status, body, words) in [
        (409, json!({"error": {"code": "busy", "message": "a backup is being made"}}), "a backup is being made"),
        (409, json!({"error": {"code": "not_installed", "message": "nothing is installed"}}), "nothing is installed"),
        (400, json!("no such world"), "no such world"),
        (422, json!({"error": "the configuration is wrong"}), "the configuration is wrong"),
        (500, json!("java: command not found"), "java: command not found"),
        (507, json!({"message": "the disk is full"}), "the disk is full"),
    ] {
        for (what, path) in [("game/start", "/start"), ("game/stop", "/stop"), ("game/restart", "/restart")] {
            let fault = json!({"peer": "agent", "path": path, "when": "before", "action": "status", "status": status,
                "body": body});
            scene.fault(fault).await;
            let (answered, problem) = scene.post(what, None).await;
            assert_eq!((answered.as_u16(), &problem["code"]), (502, &json!("agent_failed")), "{status} {problem}");
            assert_eq!(problem["detail"], words);
        }
    }
    let (status, body) = scene.post("game/restart", None).await;
    assert_eq!((status, body), (StatusCode::OK, json!({"ok": true})));
    scene.door.close().await;
}
