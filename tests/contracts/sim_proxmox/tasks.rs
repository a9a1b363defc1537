//! Tasks: listing, visibility, retention, cancellation.

use serde_json::{Value, json};

use super::Rig;

#[tokio::test]
async fn the_list_shows_finished_tasks_unless_asked_for_running_ones() {
    let rig = Rig::slow().await;
    let upid = rig.begin("POST", "/nodes/pve1/lxc/9000/clone", &[("newid", "5001")]).await;
    assert_eq!(rig.get("/nodes/pve1/tasks").await, json!([]));
    let active = rig.get("/nodes/pve1/tasks?source=active&vmid=9000&typefilter=vzclone").await;
    assert_eq!((&active[0]["upid"], &active[0]["status"]), (&json!(upid), &json!("RUNNING")));
    assert_eq!(rig.get("/nodes/pve1/tasks?source=active&vmid=9001").await, json!([]));
    rig.call("DELETE", &format!("/nodes/pve1/tasks/{upid}"), &[]).await.data();
    assert_eq!(rig.end(&upid).await, "interrupted by signal");
    let all = rig.call("GET", "/nodes/pve1/tasks", &[]).await;
    assert_eq!((&all.json()["total"], &all.data()[0]["status"]), (&json!(1), &json!("interrupted by signal")));
    assert_eq!(rig.container(5001).await["lock"], "create", "a killed worker leaves its locks");
}

#[tokio::test]
async fn an_unknown_or_forgotten_task_is_no_such_task() {
    let rig = Rig::quick().await;
    let upid = rig.begin("POST", "/nodes/pve1/lxc/9000/clone", &[("newid", "5001")]).await;
    assert_eq!(rig.end(&upid).await, "OK");
    let problem = async |node: &str, upid: &str| {
        let answer = rig.call("GET", &format!("/nodes/{node}/tasks/{upid}/status"), &[]).await;
        assert_eq!(answer.status, 400);
        answer.json()["errors"]["upid"].as_str().unwrap().trim_end().to_owned()
    };
    assert_eq!(problem("pve1", "UPID:pve1:nonsense").await, "unable to parse worker upid");
    assert_eq!(problem("pve2", &upid).await, "no such task");
    rig.steer("/sim/proxmox/tasks/forget", json!({"upid": upid})).await;
    assert_eq!(problem("pve1", &upid).await, "no such task");
}

#[tokio::test]
async fn a_log_is_read_in_pages() {
    let rig = Rig::quick().await;
    let upid = rig.begin("POST", "/nodes/pve1/lxc/9000/clone", &[("newid", "5001")]).await;
    rig.end(&upid).await;
    let page = rig.call("GET", &format!("/nodes/pve1/tasks/{upid}/log"), &[("start", "1"), ("limit", "1")]).await;
    assert_eq!(page.json(), json!({"data": [{"n": 2, "t": "TASK OK"}], "total": 2}));
}

#[tokio::test]
async fn another_users_tasks_are_not_shown() {
    let mut rig = Rig::quick().await;
    let upid = rig.begin("POST", "/nodes/pve1/lxc/9000/clone", &[("newid", "5001")]).await;
    let acl = json!([{"path": "/pool/zpack"}]);
    let answer = rig.steer("/sim/proxmox/tokens", json!({"id": "other@pve!x", "acl": acl})).await;
    rig.use_token(answer["token"].as_str().unwrap());
    let status = rig.call("GET", &format!("/nodes/pve1/tasks/{upid}/status"), &[]).await;
    assert_eq!((status.status, status.reason.as_str()), (403, "Permission check failed (/nodes/pve1, Sys.Audit)"));
    assert_eq!(rig.get("/nodes/pve1/tasks?source=all").await, json!([]));
}

#[tokio::test]
async fn the_control_routes_refuse_invalid_requests() {
    let rig = Rig::quick().await;
    for (path, body, status) in [
        ("/sim/proxmox/tasks/next", json!({"exitstatus": ""}), 400),
        ("/sim/proxmox/tasks/next", json!({"type": "vzclone"}), 400),
        ("/sim/proxmox/containers/abc", json!({}), 400),
        ("/sim/proxmox/containers/5001", json!({}), 404),
        ("/sim/proxmox/tokens", json!({"id": "root", "acl": []}), 400),
        ("/sim/proxmox/nothing", Value::Null, 404),
    ] {
        let (got, answer) = rig.control("POST", path, body).await;
        assert_eq!(got, status, "{path}: {answer}");
        assert!(!answer["error"]["message"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_token_sees_its_own_tasks_and_those_of_no_other_token_of_its_user() {
    let mut rig = Rig::quick().await;
    let acl = json!([{"path": "/pool/zpack"}, {"path": "/storage/local-zfs"}, {"path": "/sdn"}]);
    let upid = rig.begin("POST", "/nodes/pve1/lxc/9000/clone", &[("newid", "5001"), ("pool", "zpack")]).await;
    rig.end(&upid).await;
    let answer = rig.steer("/sim/proxmox/tokens", json!({"id": "zpack@pve!rotated", "acl": acl})).await;
    rig.use_token(answer["token"].as_str().unwrap());
    let status = rig.call("GET", &format!("/nodes/pve1/tasks/{upid}/status"), &[]).await;
    assert_eq!(status.status, 403);
    let own = rig.begin("POST", "/nodes/pve1/lxc/5001/status/start", &[]).await;
    rig.end(&own).await;
    let listed = rig.get("/nodes/pve1/tasks").await;
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    let row = &listed[0];
    assert_eq!((&row["upid"], &row["user"], &row["tokenid"]), (&json!(own), &json!("zpack@pve"), &json!("rotated")));
    assert_eq!(rig.get("/nodes/pve1/tasks?userfilter=nobody").await, json!([]));
    assert_eq!(rig.get("/nodes/pve1/tasks?statusfilter=error,warning").await, json!([]));
    assert_eq!(rig.get("/nodes/pve1/tasks?limit=0").await, json!([]));
    // PVE::API2::Cluster compares the user without the name of the token.
    assert_eq!(rig.get("/cluster/tasks").await, json!([]));
}
