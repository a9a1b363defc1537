//! What becomes of a game when its container is switched off and on.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;

use super::power::Scene;

impl Scene {
    /// The state that the agent of the server reports.
    async fn game(&self) -> String {
        let state = self.company.state().await;
        state["agents"][0]["state"].as_str().unwrap_or("none").to_owned()
    }

    async fn wait_for_game(&self, wanted: &str) {
        let is_so = || async { (self.game().await == wanted).then_some(()) };
        self.company.wait(&format!("a game that is {wanted}"), is_so).await;
    }

    /// Waits until the agent has answered for a while, and expects that the game was not started.
    async fn stays_stopped(&self) {
        self.wait_for_game("stopped").await;
        assert_eq!(self.asked("agent", "/start").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_game_that_ran_runs_again_after_stop_and_start_and_after_a_restart() {
    let scene = Scene::new().await;
    let host = scene.company.host_worker();
    assert_eq!(scene.game().await, "running");
    scene.company.succeeded(scene.accepted("host/stop").await).await;
    scene.company.succeeded(scene.accepted("host/stop").await).await;
    scene.company.succeeded(scene.accepted("host/start").await).await;
    scene.wait_for_game("running").await;
    let operation = scene.company.succeeded(scene.accepted("host/restart").await).await;
    assert_eq!(operation.step_count, 4);
    scene.wait_for_game("running").await;
    host.stop().await;
    scene.door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_game_that_its_owner_stopped_stays_stopped() {
    let scene = Scene::new().await;
    let host = scene.company.host_worker();
    assert_eq!(scene.post("game/stop", None).await.0, StatusCode::OK);
    scene.wait_for_game("stopped").await;
    for action in ["host/stop", "host/start", "host/restart"] {
        scene.company.succeeded(scene.accepted(action).await).await;
    }
    scene.stays_stopped().await;
    // The same while the game is off because of zpack: the last word is the owner's.
    assert_eq!(scene.post("game/start", None).await.0, StatusCode::OK);
    scene.wait_for_game("running").await;
    scene.company.succeeded(scene.accepted("host/stop").await).await;
    let (status, problem) = scene.post("game/stop", None).await;
    assert_eq!(status, StatusCode::BAD_GATEWAY, "{problem}");
    let before = scene.asked("agent", "/start").await;
    scene.company.succeeded(scene.accepted("host/start").await).await;
    scene.wait_for_game("stopped").await;
    assert_eq!(scene.asked("agent", "/start").await, before);
    host.stop().await;
    scene.door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_game_is_started_again_whatever_its_agent_answers_first() {
    let scene = Scene::new().await;
    let host = scene.company.host_worker();
    for (path, when, action, status) in [
        ("/start", "before", "status", Some(503)),
        ("/start", "before", "reset", None),
        ("/start", "after", "reset", None),
        ("/stop", "before", "reset", None),
        ("/stop", "after", "reset", None),
        ("/status", "before", "reset", None),
    ] {
        let fault = json!({"peer": "agent", "path": path, "when": when, "action": action, "status": status});
        scene.fault(fault).await;
        scene.company.succeeded(scene.accepted("host/stop").await).await;
        scene.company.succeeded(scene.accepted("host/start").await).await;
        scene.wait_for_game("running").await;
        scene.company.forget_faults().await;
    }
    host.stop().await;
    scene.door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_game_that_cannot_be_started_again_is_started_by_the_next_start() {
    let scene = Scene::new().await;
    let mut parts = scene.company.parts();
    parts.policy.timings.ready_timeout = Duration::from_millis(300);
    let host = scene.company.host_worker_of(&parts);
    scene.company.succeeded(scene.accepted("host/stop").await).await;
    let refuse = json!({"peer": "agent", "path": "/start", "when": "before", "action": "status", "status": 503,
        "times": 100_000});
    scene.fault(refuse).await;
    scene.failed(scene.accepted("host/start").await, "game_not_started").await;
    assert!(scene.runs().await);
    scene.company.forget_faults().await;
    scene.company.succeeded(scene.accepted("host/start").await).await;
    scene.wait_for_game("running").await;
    host.stop().await;
    scene.door.close().await;
}
