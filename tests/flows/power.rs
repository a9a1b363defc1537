//! Switching servers on and off, whatever the cluster does meanwhile.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::{Value, json};
use tokio::time::Instant;
use zpack::config::DatabaseKind;
use zpack::containers::ContainerTimings;
use zpack::db::entities::instance;
use zpack::db::entities::operation::{self, OperationState};
use zpack::kernel::OperationId;

use crate::support::TestDb;
use crate::support::app::FRESHNESS;
use crate::support::company::{Company, paper};
use crate::support::door::Door;

/// A company with one server, whose owner is logged in.
pub struct Scene {
    pub company: Company,
    pub door: Door,
    pub token: String,
    pub vmid: i32,
}

impl Scene {
    pub async fn new() -> Self {
        Self::over(Company::start().await).await
    }

    async fn over(company: Company) -> Self {
        let worker = company.worker(Company::settings());
        let made = company.begin(paper()).await;
        company.succeeded(made).await;
        worker.stop().await;
        let door = company.door(FRESHNESS);
        let token = company.give(made, &door, "ada").await;
        Self { company, door, token, vmid: 5000 }
    }

    pub async fn post(&self, what: &str, key: Option<&str>) -> (StatusCode, Value) {
        let mut request = self.door.request(Method::POST, &format!("/api/servers/{}/{what}", self.vmid));
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let answer = request.bearer_auth(&self.token).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    pub async fn accepted(&self, what: &str) -> OperationId {
        let (status, body) = self.post(what, None).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
        body["operationId"].as_str().unwrap().parse().unwrap()
    }

    /// The container in the simulated cluster.
    async fn container(&self) -> Value {
        self.company.containers().await.remove(0)
    }

    pub async fn runs(&self) -> bool {
        self.container().await["status"] == "running"
    }

    pub async fn fault(&self, fault: Value) {
        self.company.control("/sim/faults", fault).await;
    }

    /// Edits the container, as an operator could.
    pub async fn edit(&self, edit: Value) {
        self.company.control(&format!("/sim/proxmox/containers/{}", self.vmid), edit).await;
    }

    /// How often `peer` received a `POST` to a path that ends in `path`.
    pub async fn asked(&self, peer: &str, path: &str) -> usize {
        let journal = self.company.get(&format!("/sim/journal?peer={peer}")).await;
        let posts = |entry: &&Value| entry["method"] == "POST" && entry["path"].as_str().unwrap().ends_with(path);
        journal.as_array().unwrap().iter().filter(posts).count()
    }

    /// How many shutdowns and stops were requested from the cluster.
    async fn pushes(&self) -> (usize, usize) {
        (self.asked("proxmox", "/status/shutdown").await, self.asked("proxmox", "/status/stop").await)
    }

    /// How the tasks of this type ended, in the order of the task list; `RUNNING` for those that have not.
    async fn tasks(&self, kind: &str) -> Vec<String> {
        let state = self.company.state().await;
        let rows = state["proxmox"]["tasks"].as_array().unwrap();
        let of_kind = rows.iter().filter(|row| row["type"] == kind);
        of_kind.map(|row| row["status"].as_str().unwrap().to_owned()).collect()
    }

    async fn row(&self) -> instance::Model {
        let found = instance::Entity::find().filter(instance::Column::Vmid.eq(self.vmid));
        found.one(&self.company.db.db).await.unwrap().unwrap()
    }

    /// Takes a node offline, or brings it back.
    async fn node(&self, name: &str, online: bool) {
        self.company.control(&format!("/sim/proxmox/nodes/{name}"), json!({"online": online})).await;
    }

    pub async fn failed(&self, id: OperationId, code: &str) -> operation::Model {
        let operation = self.company.settled(id).await;
        assert_eq!((operation.state, operation.error_code.as_deref()), (OperationState::Failed, Some(code)));
        operation
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_stopped_started_and_restarted() {
    let scene = Scene::new().await;
    let host = scene.company.host_worker();
    assert!(scene.runs().await);
    scene.company.succeeded(scene.accepted("host/stop").await).await;
    assert!(!scene.runs().await);
    // A repeated request changes nothing and succeeds.
    scene.company.succeeded(scene.accepted("host/stop").await).await;
    scene.company.succeeded(scene.accepted("host/start").await).await;
    assert!(scene.runs().await);
    let operation = scene.company.succeeded(scene.accepted("host/restart").await).await;
    assert!(scene.runs().await);
    assert_eq!(operation.step_count, 4);
    host.stop().await;
    scene.door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_change_of_power_is_refused_with_the_running_operation() {
    let scene = Scene::new().await;
    let (first, second) = tokio::join!(scene.post("host/stop", Some("a")), scene.post("host/restart", Some("b")));
    let (won, lost) = if first.0 == StatusCode::ACCEPTED { (first.1, second) } else { (second.1, first) };
    assert_eq!((lost.0, lost.1["code"].as_str()), (StatusCode::CONFLICT, Some("host_operation_in_progress")));
    assert_eq!(lost.1["operation"], won["operationId"]);
    // The same request gets the same answer.
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
async fn the_server_reaches_the_wanted_state_whatever_happens_to_the_requests() {
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
async fn a_hanging_agent_does_not_prevent_a_stop() {
    let scene = Scene::new().await;
    let host = scene.company.host_worker();
    scene.company.control(&format!("/sim/agents/{}", scene.vmid), json!({"hang": true})).await;
    let operation = scene.company.succeeded(scene.accepted("host/stop").await).await;
    assert!(!scene.runs().await);
    let operator = scene.door.admin("olga").await;
    let shown = scene.door.get(&format!("/api/operations/{}", operation.id)).bearer_auth(operator);
    let shown: Value = shown.send().await.unwrap().json().await.unwrap();
    assert!(shown["steps"][0]["detail"].as_str().unwrap().contains("not stopped first"), "{shown}");
    host.stop().await;
    scene.door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_container_fails_the_operation_and_game_power_asks_the_agent() {
    let scene = Scene::new().await;
    let host = scene.company.host_worker();
    let (status, body) = scene.post("game/stop", None).await;
    assert_eq!((status, &body), (StatusCode::OK, &json!({"ok": true})));
    let agents = format!("/sim/agents/{}", scene.vmid);
    scene.company.control(&agents, json!({"hang": true})).await;
    let (status, problem) = scene.post("game/start", None).await;
    assert_eq!((status, problem["code"].as_str()), (StatusCode::BAD_GATEWAY, Some("agent_failed")), "{problem}");
    scene.company.remove_container(scene.vmid.into()).await;
    scene.failed(scene.accepted("host/start").await, "container_gone").await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_shuts_down_is_not_stopped_by_force() {
    let scene = Scene::new().await;
    let host = scene.company.host_worker();
    scene.company.succeeded(scene.accepted("host/stop").await).await;
    assert!(!scene.runs().await);
    assert_eq!(scene.asked("agent", "/stop").await, 1);
    assert_eq!((scene.pushes().await, scene.tasks("vzshutdown").await), ((1, 0), vec!["OK".to_owned()]));
    host.stop().await;
    scene.door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_ignores_a_shutdown_is_stopped_after_the_grace() {
    let scene = Scene::new().await;
    let host = scene.company.host_worker();
    scene.edit(json!({"ignoresShutdown": true})).await;
    scene.company.succeeded(scene.accepted("host/stop").await).await;
    assert!(!scene.runs().await);
    assert_eq!(scene.tasks("vzshutdown").await, ["container did not stop"]);
    assert_eq!((scene.pushes().await, scene.tasks("vzstop").await), ((1, 1), vec!["OK".to_owned()]));
    host.stop().await;
    scene.door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_grace_may_be_longer_than_the_task_timeout() {
    let scene = Scene::new().await;
    let mut parts = scene.company.parts();
    parts.policy.timings.container.task_timeout = Duration::from_secs(2);
    // In the simulated world a shutdown times out after four seconds.
    parts.stop_grace = Duration::from_secs(400);
    let host = scene.company.host_worker_of(&parts);
    scene.edit(json!({"ignoresShutdown": true})).await;
    scene.company.succeeded(scene.accepted("host/stop").await).await;
    assert!(!scene.runs().await);
    assert_eq!(scene.tasks("vzshutdown").await, ["container did not stop"]);
    host.stop().await;
    scene.door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transient_error_does_not_use_up_the_grace() {
    let scene = Scene::new().await;
    let host = scene.company.host_worker();
    let shutdown = "*/status/shutdown";
    for (fault, asks) in [
        (json!({"when": "before", "action": "status", "status": 595, "times": 3}), 4),
        (
            json!({"when": "before", "action": "status", "status": 500, "body": {"data": null, "message": "no quorum"}}),
            2,
        ),
        // The answer is lost: the first request did not arrive, the second one did.
        (json!({"when": "before", "action": "reset"}), 2),
        (json!({"when": "after", "action": "reset"}), 1),
    ] {
        let mut planned = json!({"peer": "proxmox", "path": shutdown});
        planned.as_object_mut().unwrap().extend(fault.as_object().unwrap().clone());
        scene.fault(planned).await;
        let (before, _) = scene.pushes().await;
        scene.company.succeeded(scene.accepted("host/stop").await).await;
        assert!(!scene.runs().await);
        assert_eq!(scene.pushes().await, (before + asks, 0), "{fault}");
        scene.company.forget_faults().await;
        scene.company.succeeded(scene.accepted("host/start").await).await;
    }
    assert_eq!(scene.tasks("vzshutdown").await, ["OK"; 4]);
    host.stop().await;
    scene.door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_container_keeps_its_grace() {
    let scene = Scene::new().await;
    let host = scene.company.host_worker();
    scene.edit(json!({"lock": "backup"})).await;
    let stop = scene.accepted("host/stop").await;
    let tried = || async { (scene.tasks("vzshutdown").await.len() > 2).then_some(()) };
    scene.company.wait("three shutdowns that were refused", tried).await;
    scene.edit(json!({"lock": null})).await;
    scene.company.succeeded(stop).await;
    assert_eq!((scene.runs().await, scene.pushes().await.1), (false, 0));
    host.stop().await;
    scene.door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_stop_of_a_stopped_container_is_a_success() {
    let company = Company::start_over(TestDb::migrated(DatabaseKind::Sqlite).await, 0.25).await;
    let scene = Scene::over(company).await;
    let host = scene.company.host_worker();
    scene.edit(json!({"ignoresShutdown": true})).await;
    // The stop is executed, which takes half a second, but its answer is lost; the next stop finds the container
    // stopped.
    scene.fault(json!({"peer": "proxmox", "path": "*/status/stop", "when": "after", "action": "reset"})).await;
    scene.company.succeeded(scene.accepted("host/restart").await).await;
    assert!(scene.runs().await);
    let mut ends = scene.tasks("vzstop").await;
    ends.sort();
    assert_eq!(ends, ["OK", "OK"]);
    host.stop().await;
    scene.door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offline_node_fails_the_operation_soon_with_a_message() {
    let scene = Scene::new().await;
    let mut parts = scene.company.parts();
    let long = Duration::from_secs(200);
    let timings = parts.policy.timings.container;
    parts.policy.timings.container = ContainerTimings { task_timeout: long, away: Duration::from_secs(1), ..timings };
    parts.stop_grace = long * 100;
    let host = scene.company.host_worker_of(&parts);
    let node = scene.container().await["node"].as_str().unwrap().to_owned();
    scene.node(&node, false).await;
    let began = Instant::now();
    for action in ["host/start", "host/stop", "host/restart"] {
        let operation = scene.failed(scene.accepted(action).await, "node_away").await;
        assert!(operation.error_message.unwrap().contains(&format!("node {node} of the server does not answer")));
    }
    assert!(began.elapsed() < long / 2, "{:?}", began.elapsed());
    scene.node(&node, true).await;
    assert!(scene.runs().await);
    assert_eq!((scene.pushes().await, scene.asked("agent", "/stop").await), ((0, 0), 0));

    // The same while its task is waited for, whose state cannot be read.
    scene.edit(json!({"ignoresShutdown": true})).await;
    let stop = scene.accepted("host/stop").await;
    let under_way = || async { (scene.tasks("vzshutdown").await == ["RUNNING"]).then_some(()) };
    scene.company.wait("a shutdown under way", under_way).await;
    let began = Instant::now();
    scene.node(&node, false).await;
    scene.failed(stop, "node_away").await;
    assert!(began.elapsed() < long / 2, "{:?}", began.elapsed());
    host.stop().await;
    scene.door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_container_is_found_and_its_row_updated() {
    let scene = Scene::new().await;
    let host = scene.company.host_worker();
    let first = scene.row().await.node;
    let second = if first == "pve1" { "pve2" } else { "pve1" };
    scene.edit(json!({"node": second})).await;
    scene.company.succeeded(scene.accepted("host/stop").await).await;
    assert_eq!((scene.runs().await, scene.row().await.node.as_str()), (false, second));
    // The cluster recovers the containers of a dead node.
    scene.node(second, false).await;
    scene.edit(json!({"node": first})).await;
    scene.company.succeeded(scene.accepted("host/start").await).await;
    assert_eq!((scene.runs().await, scene.row().await.node), (true, first));
    host.stop().await;
    scene.door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_without_our_nonce_is_left_alone() {
    let scene = Scene::new().await;
    let host = scene.company.host_worker();
    let starts = scene.asked("proxmox", "/status/start").await;
    scene.edit(json!({"description": "of another system", "tags": ""})).await;
    for action in ["host/stop", "host/restart", "host/start"] {
        scene.failed(scene.accepted(action).await, "container_foreign").await;
    }
    assert!(scene.runs().await);
    assert_eq!((scene.pushes().await, scene.asked("proxmox", "/status/start").await), ((0, 0), starts));
    assert_eq!(scene.asked("agent", "/stop").await, 0);
    host.stop().await;
    scene.door.close().await;
}
