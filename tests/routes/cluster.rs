//! `/api/proxmox/*`, with a reachable and an unreachable cluster.

use reqwest::StatusCode;
use serde_json::{Value, json};
use zpack::kernel::VmId;
use zpack::ports::{CloneRequest, Hypervisor, NodeName};

use crate::support::app::{FRESHNESS, INTERNAL};
use crate::support::company::Company;
use crate::support::door::Door;

async fn ask(door: &Door, path: &str) -> (StatusCode, Value) {
    let answer = door.get(path).header("x-internal-token", INTERNAL).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_is_shown_and_an_unreachable_one_is_an_error() {
    let company = Company::start().await;
    let door = company.door(FRESHNESS);
    let (status, pong) = ask(&door, "/api/proxmox/ping").await;
    assert_eq!((status, &pong["ok"]), (StatusCode::OK, &json!(true)), "{pong}");
    let (_, nodes) = ask(&door, "/api/proxmox/nodes").await;
    assert_eq!(nodes["nodes"].as_array().unwrap().len(), 2, "{nodes}");
    let (_, containers) = ask(&door, "/api/proxmox/containers").await;
    assert_eq!(containers["containers"][0]["template"], true, "{containers}");
    let down = json!({"peer": "proxmox", "when": "before", "action": "reset", "times": 1000});
    company.control("/sim/faults", down).await;
    for path in ["ping", "nodes", "containers"] {
        let (status, problem) = ask(&door, &format!("/api/proxmox/{path}")).await;
        assert_eq!((status, problem["code"].as_str()), (StatusCode::BAD_GATEWAY, Some("upstream_failed")), "{problem}");
    }
    door.close().await;
}

/// How many requests about a task the cluster has received.
async fn questions(company: &Company) -> usize {
    let seen = company.get("/sim/journal?peer=proxmox").await;
    seen.as_array().unwrap().iter().filter(|entry| entry["path"].as_str().unwrap().contains("/tasks/")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_task_without_a_record_is_404() {
    let company = Company::start().await;
    let door = company.door(FRESHNESS);
    for upid in ["nonsense", "UPID:nonsense", "UPID:..:0002D4BF:0A1B2C3D:65F0A1B2:vzclone:9000:zpack@pve!ctl:"] {
        let (status, problem) = ask(&door, &format!("/api/proxmox/tasks/{upid}")).await;
        assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("not_found")), "{upid}: {problem}");
    }
    assert_eq!(questions(&company).await, 0, "what is no name of a task is not asked for");
    let unknown = "/api/proxmox/tasks/UPID:pve1:0002D4BF:0A1B2C3D:65F0A1B2:vzclone:9000:zpack@pve!ctl:";
    let (status, problem) = ask(&door, unknown).await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("not_found")), "{problem}");
    assert_eq!(questions(&company).await, 1);

    let clone = CloneRequest {
        node: NodeName::new("pve1"),
        template: VmId::new(9000).unwrap(),
        vmid: VmId::new(5001).unwrap(),
        hostname: "mc-paper-5001".parse().unwrap(),
        description: "a test".to_owned(),
        pool: Some("zpack".to_owned()),
    };
    let known = format!("/api/proxmox/tasks/{}", company.hypervisor().clone_container(&clone).await.unwrap().0);
    company
        .wait("the clone to end", || async {
            let (status, task) = ask(&door, &known).await;
            // The record of a task appears shortly after the task.
            assert!(matches!(status, StatusCode::OK | StatusCode::NOT_FOUND), "{task}");
            (task["status"] == "succeeded").then_some(())
        })
        .await;
    for refused in [400, 403, 500] {
        let fault = json!({
            "peer": "proxmox", "path": "*/tasks/*", "when": "before", "action": "status", "status": refused,
            "reason": "something odd", "times": 1,
        });
        company.control("/sim/faults", fault).await;
        let (status, problem) = ask(&door, &known).await;
        assert_eq!((status, &problem["code"]), (StatusCode::BAD_GATEWAY, &json!("upstream_failed")), "{problem}");
    }
    door.close().await;
}
