//! `/api/proxmox/*`: the cluster, and a cluster that is away.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::app::{FRESHNESS, INTERNAL};
use crate::support::company::Company;
use crate::support::door::Door;

async fn ask(door: &Door, path: &str) -> (StatusCode, Value) {
    let answer = door.get(path).header("x-internal-token", INTERNAL).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_is_shown_as_it_is_and_as_away_when_it_is() {
    let company = Company::start().await;
    let door = company.door(FRESHNESS);
    let (status, pong) = ask(&door, "/api/proxmox/ping").await;
    assert_eq!((status, &pong["ok"]), (StatusCode::OK, &json!(true)), "{pong}");
    let (_, nodes) = ask(&door, "/api/proxmox/nodes").await;
    assert_eq!(nodes["nodes"].as_array().unwrap().len(), 2, "{nodes}");
    let (_, containers) = ask(&door, "/api/proxmox/containers").await;
    assert_eq!(containers["containers"][0]["template"], true, "{containers}");
    for upid in ["nonsense", "UPID:nonsense"] {
        let (status, body) = ask(&door, &format!("/api/proxmox/tasks/{upid}")).await;
        assert!(!status.is_success(), "{upid}: {status} {body}");
    }
    let down = json!({"peer": "proxmox", "when": "before", "action": "reset", "times": 1000});
    company.control("/sim/faults", down).await;
    for path in ["ping", "nodes", "containers"] {
        let (status, problem) = ask(&door, &format!("/api/proxmox/{path}")).await;
        assert_eq!((status, problem["code"].as_str()), (StatusCode::BAD_GATEWAY, Some("upstream_failed")), "{problem}");
    }
    door.close().await;
}
