//! Servers that are switched on and off, whatever the cluster does meanwhile.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use zpack::db::entities::operation::OperationState;
use zpack::kernel::OperationId;

use crate::support::app::FRESHNESS;
use crate::support::company::{Company, paper};
use crate::support::door::Door;

/// A company with one server, which belongs to somebody who is logged in.
struct Scene {
    company: Company,
    door: Door,
    token: String,
    vmid: i32,
}

impl Scene {
    async fn new() -> Self {
        let company = Company::start().await;
        let worker = company.worker(Company::settings());
        let made = company.begin(paper()).await;
        company.succeeded(made).await;
        worker.stop().await;
        let door = company.door(FRESHNESS);
        let token = company.give(made, &door, "ada").await;
        Self { company, door, token, vmid: 5000 }
    }

    async fn post(&self, what: &str, key: Option<&str>) -> (StatusCode, Value) {
        let mut request = self.door.request(Method::POST, &format!("/api/servers/{}/{what}", self.vmid));
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let answer = request.bearer_auth(&self.token).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    async fn accepted(&self, what: &str) -> OperationId {
        let (status, body) = self.post(what, None).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
        body["operationId"].as_str().unwrap().parse().unwrap()
    }

    /// The container as the cluster has it.
    async fn container(&self) -> Value {
        self.company.containers().await.remove(0)
    }

    async fn runs(&self) -> bool {
        self.container().await["status"] == "running"
    }

    async fn fault(&self, fault: Value) {
        self.company.control("/sim/faults", fault).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_stopped_started_and_restarted() {
    let scene = Scene::new().await;
    let host = scene.company.host_worker();
    assert!(scene.runs().await);
    scene.company.succeeded(scene.accepted("host/stop").await).await;
    assert!(!scene.runs().await);
    // Once more is no change, and as good.
    scene.company.succeeded(scene.accepted("host/stop").await).await;
    scene.company.succeeded(scene.accepted("host/start").await).await;
    assert!(scene.runs().await);
    let operation = scene.company.succeeded(scene.accepted("host/restart").await).await;
    assert!(scene.runs().await);
    assert_eq!(operation.step_count, 3);
    host.stop().await;
    scene.door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_change_of_power_at_a_time_and_the_holder_is_named() {
    let scene = Scene::new().await;
    let (first, second) = tokio::join!(scene.post("host/stop", Some("a")), scene.post("host/restart", Some("b")));
    let (won, lost) = if first.0 == StatusCode::ACCEPTED { (first.1, second) } else { (second.1, first) };
    assert_eq!((lost.0, lost.1["code"].as_str()), (StatusCode::CONFLICT, Some("host_operation_in_progress")));
    assert_eq!(lost.1["operation"], won["operationId"]);
    // The same request again gets the same answer.
    let again = scene.post(
        if won["operation"]["progress"]["of"] == 2 { "host/stop" } else { "host/restart" },
        Some(if won["operation"]["progress"]["of"] == 2 { "a" } else { "b" }),
    );
    assert_eq!(again.await.1["operationId"], won["operationId"]);
    let host = scene.company.host_worker();
    scene.company.succeeded(won["operationId"].as_str().unwrap().parse().unwrap()).await;
    scene.company.succeeded(scene.accepted("host/start").await).await;
    host.stop().await;
    scene.door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_the_requests_the_server_ends_as_asked() {
    let scene = Scene::new().await;
    let host = scene.company.host_worker();
    for path in ["*/status/shutdown", "*/status/stop", "*/status/start", "*/status/current", "*/config"] {
        for (when, action, status) in [
            ("before", "status", Some(595)),
            ("before", "reset", None),
            ("after", "reset", None),
            ("before", "timeout", None),
            ("after", "timeout", None),
            ("before", "html", None),
        ] {
            let fault = json!({"peer": "proxmox", "path": path, "when": when, "action": action, "status": status});
            scene.fault(fault).await;
            scene.company.succeeded(scene.accepted("host/restart").await).await;
            assert!(scene.runs().await, "{path} {when} {action}");
            scene.company.forget_faults().await;
        }
    }
    host.stop().await;
    scene.door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_hangs_does_not_keep_the_server_on() {
    let scene = Scene::new().await;
    let host = scene.company.host_worker();
    scene.company.control(&format!("/sim/agents/{}", scene.vmid), json!({"hang": true})).await;
    let operation = scene.company.succeeded(scene.accepted("host/stop").await).await;
    assert!(!scene.runs().await);
    let shown = scene.door.get(&format!("/api/operations/{}", operation.id)).bearer_auth(&scene.token);
    let shown: Value = shown.send().await.unwrap().json().await.unwrap();
    assert!(shown["steps"][0]["detail"].as_str().unwrap().contains("not stopped first"), "{shown}");
    host.stop().await;
    scene.door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_gone_is_a_clear_failure_and_a_game_answers_for_itself() {
    let scene = Scene::new().await;
    let host = scene.company.host_worker();
    let (status, body) = scene.post("game/stop", None).await;
    assert_eq!((status, &body), (StatusCode::OK, &json!({"ok": true})));
    let agents = format!("/sim/agents/{}", scene.vmid);
    scene.company.control(&agents, json!({"hang": true})).await;
    let (status, problem) = scene.post("game/start", None).await;
    assert_eq!((status, problem["code"].as_str()), (StatusCode::BAD_GATEWAY, Some("agent_failed")), "{problem}");
    scene.company.remove_container(scene.vmid.into()).await;
    let operation = scene.company.settled(scene.accepted("host/start").await).await;
    assert_eq!((operation.state, operation.error_code.as_deref()), (OperationState::Failed, Some("container_gone")));
    host.stop().await;
    scene.door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_behind_a_clone() {
    let scene = Scene::new().await;
    let slow = json!({"peer": "proxmox", "method": "POST", "path": "*/clone", "when": "before", "action": "reset",
        "times": 100_000});
    scene.fault(slow).await;
    let worker = scene.company.worker(Company::settings());
    let waiting = scene.company.begin(paper()).await;
    let at_it = || async {
        let row = scene.company.operation(waiting).await;
        (row.phase.as_deref() == Some("clone_container")).then_some(())
    };
    scene.company.wait("a clone under way", at_it).await;
    let host = scene.company.host_worker();
    scene.company.succeeded(scene.accepted("host/stop").await).await;
    assert_eq!(scene.company.operation(waiting).await.state, OperationState::Running);
    scene.company.forget_faults().await;
    scene.company.succeeded(waiting).await;
    worker.stop().await;
    host.stop().await;
    scene.door.close().await;
}
