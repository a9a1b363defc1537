//! The cluster view: delayed metrics, unreachable nodes, free VMIDs.

use serde_json::{Value, json};

use super::Rig;

async fn resource(rig: &Rig, vmid: u32) -> Value {
    let rows = rig.get("/cluster/resources?type=vm").await;
    rows.as_array().unwrap().iter().find(|row| row["vmid"] == vmid).cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_new_container_is_unknown_until_the_daemons_report() {
    let rig = Rig::slow().await;
    rig.until(|| resource(&rig, 9000), |row| row["status"] == "stopped").await;
    rig.begin("POST", "/nodes/pve1/lxc/9000/clone", &[("newid", "5001")]).await;
    let row = resource(&rig, 5001).await;
    assert_eq!((&row["status"], row.get("name"), row.get("template")), (&json!("unknown"), None, None));
    assert_eq!((&row["node"], &row["lock"]), (&json!("pve1"), &json!("create")), "what comes from the config is fresh");
    assert_eq!(resource(&rig, 9000).await["lock"], "disk");
}

#[tokio::test]
async fn the_daemons_report_after_a_while() {
    let rig = Rig::quick().await;
    rig.running(5001).await;
    let row = rig.until(|| resource(&rig, 5001), |row| row["status"] == "running").await;
    assert_eq!((&row["name"], &row["template"], &row["pool"]), (&json!("mc-1"), &json!(0), &json!("zpack")));
}

#[tokio::test]
async fn an_unreachable_node_is_a_595_for_its_paths_and_unknown_for_the_rest() {
    let rig = Rig::quick().await;
    rig.until(|| resource(&rig, 9001), |row| row["status"] == "stopped").await;
    rig.steer("/sim/proxmox/nodes/pve2", json!({"online": false})).await;
    let answer = rig.call("GET", "/nodes/pve2/lxc", &[]).await;
    assert_eq!((answer.status, answer.reason.as_str()), (595, "No route to host"));
    assert!(answer.body.is_empty() && !answer.headers.contains_key("content-type"));
    let clone = rig.call("POST", "/nodes/pve2/lxc/9001/clone", &[("newid", "5001")]).await;
    assert_eq!(clone.status, 595);
    assert_eq!(rig.executed("clone", 5001).await, 0);
    assert_eq!(resource(&rig, 9001).await["status"], "unknown");
    let nodes = rig.get("/nodes").await;
    assert_eq!((&nodes[0]["status"], &nodes[1]["status"]), (&json!("online"), &json!("offline")));
    rig.get("/nodes/pve1/lxc").await;
    rig.steer("/sim/proxmox/nodes/pve2", json!({"online": true})).await;
    rig.get("/nodes/pve2/lxc").await;
}

#[tokio::test]
async fn an_unknown_node_is_a_lookup_failure() {
    let rig = Rig::quick().await;
    let answer = rig.call("GET", "/nodes/pve9/lxc", &[]).await;
    assert_eq!(answer.status, 500);
    assert!(answer.reason.starts_with("hostname lookup 'pve9' failed"), "{}", answer.reason);
    assert_eq!(rig.control("POST", "/sim/proxmox/nodes/pve9", json!({"online": true})).await.0, 404);
    assert_eq!(rig.control("POST", "/sim/proxmox/nodes/pve1", json!({"on": true})).await.0, 400);
}

#[tokio::test]
async fn a_power_loss_ends_tasks_silently_and_leaves_locks() {
    let rig = Rig::slow().await;
    let upid = rig.begin("POST", "/nodes/pve1/lxc/9000/clone", &[("newid", "5001")]).await;
    rig.steer("/sim/proxmox/containers/9001", json!({"status": "running"})).await;
    rig.steer("/sim/proxmox/nodes/pve1", json!({"online": false, "crash": true})).await;
    rig.steer("/sim/proxmox/nodes/pve1", json!({"online": true})).await;
    assert_eq!(rig.end(&upid).await, "unexpected status");
    assert_eq!(
        (&rig.container(5001).await["lock"], &rig.container(9000).await["lock"]),
        (&json!("create"), &json!("disk"))
    );
    assert_eq!(rig.container(9001).await["status"], "running", "the other node did not lose its power");
}

#[tokio::test]
async fn next_id_is_a_string_and_reserves_nothing() {
    let rig = Rig::quick().await;
    assert_eq!(rig.get("/cluster/nextid").await, "100");
    assert_eq!(rig.get("/cluster/nextid").await, "100");
    assert_eq!(rig.get("/cluster/nextid?vmid=5001").await, "5001");
    let taken = rig.call("GET", "/cluster/nextid?vmid=9000", &[]).await;
    assert_eq!((taken.status, taken.json()["errors"]["vmid"].clone()), (400, json!("VM 9000 already exists")));
}

#[tokio::test]
async fn nodes_and_storages_report_their_free_space() {
    let rig = Rig::quick().await;
    let status = rig.get("/nodes/pve1/status").await;
    assert!(status["memory"]["free"].as_u64().unwrap() > 0);
    let storages = rig.get("/nodes/pve1/storage").await;
    assert_eq!(storages.as_array().unwrap().len(), 2);
    let storage = rig.get("/nodes/pve1/storage/local-zfs/status").await;
    assert!(storage["avail"].as_u64().unwrap() > 0);
    let missing = rig.call("GET", "/nodes/pve1/storage/nope/status", &[]).await;
    assert_eq!(missing.reason, "storage 'nope' does not exist");
    let members = rig.get("/cluster/status").await;
    assert_eq!((&members[0]["quorate"], &members[0]["nodes"]), (&json!(1), &json!(2)));
    assert_eq!(rig.get("/nodes/pve1/lxc/9000/feature?feature=clone").await["hasFeature"], 1);
}

#[tokio::test]
async fn an_operator_can_edit_and_remove_a_container() {
    let rig = Rig::quick().await;
    rig.clone(5001).await;
    rig.steer("/sim/proxmox/containers/5001", json!({"status": "running", "description": "mine"})).await;
    assert_eq!(rig.get("/nodes/pve1/lxc/5001/config").await["description"], "mine\n");
    assert_eq!(rig.control("DELETE", "/sim/proxmox/containers/5001", Value::Null).await.0, 200);
    assert_eq!(rig.container(5001).await, Value::Null);
    assert_eq!(rig.control("DELETE", "/sim/proxmox/containers/5001", Value::Null).await.0, 404);
}

#[tokio::test]
async fn pools_take_and_release_containers() {
    let rig = Rig::quick().await;
    assert_eq!(rig.run("POST", "/nodes/pve1/lxc/9000/clone", &[("newid", "5001")]).await, "OK");
    rig.call("PUT", "/pools", &[("poolid", "zpack"), ("vms", "5001")]).await.data();
    assert_eq!(rig.container(5001).await["pool"], "zpack");
    assert_eq!(rig.get("/pools/zpack").await["members"].as_array().unwrap().len(), 3);
    rig.call("PUT", "/pools", &[("poolid", "zpack"), ("vms", "5001"), ("delete", "1")]).await.data();
    assert_eq!(rig.container(5001).await["pool"], Value::Null);
}

#[tokio::test]
async fn qemu_guests_share_the_numbers_and_the_list_of_the_cluster() {
    let rig = Rig::quick().await;
    rig.steer("/sim/proxmox/qemu/5001", json!({"node": "pve2", "name": "db", "running": true})).await;
    let row = resource(&rig, 5001).await;
    assert_eq!((&row["id"], &row["type"], &row["node"]), (&json!("qemu/5001"), &json!("qemu"), &json!("pve2")));
    let taken = rig.call("GET", "/cluster/nextid?vmid=5001", &[]).await;
    assert_eq!(taken.json()["errors"]["vmid"], "VM 5001 already exists");
    let clone = rig.call("POST", "/nodes/pve1/lxc/9000/clone", &[("newid", "5001")]).await;
    assert_eq!((clone.status, clone.reason.as_str()), (500, "VM 5001 already exists on node 'pve2'"));
    let config = rig.call("GET", "/nodes/pve2/lxc/5001/config", &[]).await;
    assert_eq!(config.reason, "Configuration file 'nodes/pve2/lxc/5001.conf' does not exist");
    assert_eq!(rig.control("POST", "/sim/proxmox/qemu/9000", json!({"node": "pve1"})).await.0, 400);
    assert_eq!(rig.control("POST", "/sim/proxmox/qemu/5002", json!({"node": "pve9"})).await.0, 404);
    assert_eq!(rig.control("DELETE", "/sim/proxmox/qemu/5001", Value::Null).await.0, 200);
    assert_eq!(rig.run("POST", "/nodes/pve1/lxc/9000/clone", &[("newid", "5001")]).await, "OK");
}

#[tokio::test]
async fn containers_with_onboot_come_back_after_a_crash_of_their_node() {
    let rig = Rig::quick().await;
    for vmid in [5001, 5002, 5003] {
        rig.running(vmid).await;
    }
    rig.call("PUT", "/nodes/pve1/lxc/5001/config", &[("onboot", "1")]).await.data();
    rig.call("PUT", "/nodes/pve1/lxc/5003/config", &[("onboot", "1")]).await.data();
    rig.steer("/sim/proxmox/containers/5003", json!({"lock": "backup"})).await;
    rig.steer("/sim/proxmox/nodes/pve1", json!({"online": false, "crash": true})).await;
    for vmid in [5001, 5002, 5003] {
        assert_eq!(rig.container(vmid).await["status"], "stopped");
    }
    rig.steer("/sim/proxmox/nodes/pve1", json!({"online": true})).await;
    rig.until(|| rig.container(5001), |container| container["status"] == "running").await;
    // The node itself starts them, with one task each; a locked container stays off.
    let tasks = || rig.get("/nodes/pve1/tasks?typefilter=vzstart&userfilter=root");
    rig.until(tasks, |tasks| tasks.as_array().unwrap().len() == 2).await;
    assert_eq!(tasks().await.to_string().matches("CT is locked (backup)").count(), 1);
    assert_eq!(rig.container(5002).await["status"], "stopped", "it has no onboot");
    // A node that was only unreachable starts nothing.
    rig.steer("/sim/proxmox/containers/5001", json!({"status": "stopped"})).await;
    rig.steer("/sim/proxmox/nodes/pve1", json!({"online": false})).await;
    rig.steer("/sim/proxmox/nodes/pve1", json!({"online": true})).await;
    assert_eq!(tasks().await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_full_storage_fails_the_task_of_a_clone() {
    let rig = Rig::quick().await;
    rig.steer("/sim/proxmox/nodes/pve1", json!({"online": true, "storageFull": true})).await;
    let exit = rig.run("POST", "/nodes/pve1/lxc/9000/clone", &[("newid", "5001")]).await;
    assert_eq!(exit, "clone failed: zfs error: cannot create 'rpool/data/subvol-5001-disk-0': out of space");
    assert_eq!((rig.container(5001).await, &rig.container(9000).await["lock"]), (Value::Null, &Value::Null));
    assert_eq!(rig.get("/nodes/pve1/storage/local-zfs/status").await["avail"], 0);
    assert_eq!(rig.run("POST", "/nodes/pve2/lxc/9001/clone", &[("newid", "5001")]).await, "OK");
}
