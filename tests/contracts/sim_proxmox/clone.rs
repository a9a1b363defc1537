//! Cloning: reservation, locks, the task, and every way it can fail.

use serde_json::{Value, json};
use zpack::sim::proxmox::PveProfile;

use super::Rig;

const CLONE: &str = "/nodes/pve1/lxc/9000/clone";

#[tokio::test]
async fn a_clone_reserves_its_vmid_and_locks_source_and_copy() {
    let rig = Rig::slow().await;
    let upid = rig.begin("POST", CLONE, &[("newid", "5001"), ("description", "op_1"), ("hostname", "mc-1")]).await;
    assert!(upid.contains(":vzclone:9000:zpack@pve!ctl:"), "{upid}");
    // At first the configuration is the lock alone.
    let copy = rig.get("/nodes/pve1/lxc/5001/config").await;
    assert_eq!(
        (&copy["lock"], &copy["description"], &copy["hostname"]),
        (&json!("create"), &Value::Null, &Value::Null)
    );
    assert_eq!(rig.get("/nodes/pve1/lxc/9000/config").await["lock"], "disk");
    let status = rig.get(&format!("/nodes/pve1/tasks/{upid}/status")).await;
    assert_eq!(
        (&status["status"], &status["user"], &status["tokenid"]),
        (&json!("running"), &json!("zpack@pve"), &json!("ctl"))
    );
    assert_eq!(status.get("exitstatus"), None);

    let second = rig.call("POST", CLONE, &[("newid", "5002")]).await;
    assert_eq!((second.status, second.reason.as_str()), (500, "CT is locked (disk)"));
    let same = rig.call("POST", CLONE, &[("newid", "5001")]).await;
    assert_eq!(same.reason, "CT is locked (disk)");
    let other_node = rig.call("POST", "/nodes/pve2/lxc/9001/clone", &[("newid", "5001")]).await;
    assert_eq!(other_node.reason, "CT 5001 already exists on node 'pve1'");
    assert_eq!((rig.executed("clone", 5001).await, rig.executed("clone", 5002).await), (1, 0));
}

#[tokio::test]
async fn a_finished_clone_is_unlocked_in_its_pool_and_has_its_own_mac() {
    let rig = Rig::quick().await;
    let form = [("newid", "5001"), ("description", "op_1"), ("hostname", "mc-1"), ("pool", "zpack")];
    let upid = rig.begin("POST", CLONE, &form).await;
    assert_eq!(rig.end(&upid).await, "OK");
    let config = rig.get("/nodes/pve1/lxc/5001/config").await;
    assert_eq!((&config["description"], &config["hostname"]), (&json!("op_1\n"), &json!("mc-1")));
    let (copy, template) = (rig.container(5001).await, rig.container(9000).await);
    assert_eq!((&copy["lock"], &template["lock"]), (&Value::Null, &Value::Null));
    assert_eq!(
        (&copy["pool"], &copy["template"], &copy["status"]),
        (&json!("zpack"), &json!(false), &json!("stopped"))
    );
    assert_eq!(copy["config"]["rootfs"], "local-zfs:basevol-9000-disk-0/subvol-5001-disk-0,size=8G");
    assert_ne!(copy["net0"], template["net0"]);
    assert!(copy["net0"].as_str().unwrap().contains("hwaddr=BC:24:11:"));
    let log = rig.get(&format!("/nodes/pve1/tasks/{upid}/log")).await;
    assert_eq!(log.as_array().unwrap().last().unwrap()["t"], "TASK OK");
    let ledger = rig.state().await["ledger"].clone();
    assert_eq!((&ledger[0]["effect"], &ledger[0]["description"]), (&json!("clone"), &json!("op_1")));
}

#[tokio::test]
async fn an_impossible_clone_is_refused_before_a_task_begins() {
    let rig = Rig::quick().await;
    rig.running(5001).await;
    let running = "/nodes/pve1/lxc/5001/clone";
    for (path, form, reason) in [
        (CLONE, [("storage", "local-zfs")], "parameter 'storage' not allowed for linked clones"),
        (CLONE, [("target", "pve2")], "can't clone CT to node 'pve2' (CT uses local storage)"),
        (
            running,
            [("full", "0")],
            "Linked clone feature for 'local-zfs:basevol-9000-disk-0/subvol-5001-disk-0' is not available",
        ),
        (running, [("full", "1")], "Full clone of a running container is only possible from a snapshot"),
        ("/nodes/pve2/lxc/9000/clone", [("full", "0")], "Configuration file 'nodes/pve2/lxc/9000.conf' does not exist"),
    ] {
        let answer = rig.call("POST", path, &[("newid", "5002"), form[0]]).await;
        assert_eq!((answer.status, answer.reason.as_str()), (500, reason), "{path}");
    }
    rig.steer("/sim/proxmox/profile", json!({"version": "8.4"})).await;
    let older = rig.call("POST", running, &[("newid", "5002"), ("full", "1")]).await;
    assert_eq!(older.reason, "Cannot do full clones on a running container without snapshots");
    assert_eq!(rig.container(5002).await, Value::Null);
}

#[tokio::test]
async fn warnings_are_a_success() {
    let rig = Rig::quick().await;
    rig.plan_ending("vzclone", "WARNINGS: 1").await;
    let upid = rig.begin("POST", CLONE, &[("newid", "5001")]).await;
    assert_eq!(rig.end(&upid).await, "WARNINGS: 1");
    assert_eq!(rig.container(5001).await["lock"], Value::Null);
    let log = rig.get(&format!("/nodes/pve1/tasks/{upid}/log")).await;
    assert_eq!(log.as_array().unwrap().last().unwrap()["t"], "TASK WARNINGS: 1");
    assert_eq!(rig.run("POST", CLONE, &[("newid", "5002")]).await, "OK", "an ending is used once");
}

#[tokio::test]
async fn a_failed_clone_cleans_up_and_can_be_repeated() {
    let rig = Rig::quick().await;
    let error = "clone failed: cfs-lock 'storage-x' error: got lock request timeout";
    rig.plan_ending("vzclone", error).await;
    let upid = rig.begin("POST", CLONE, &[("newid", "5001")]).await;
    assert_eq!(rig.end(&upid).await, error);
    assert_eq!((rig.container(5001).await, rig.container(9000).await["lock"].clone()), (Value::Null, Value::Null));
    assert_eq!(rig.run("POST", CLONE, &[("newid", "5001")]).await, "OK");
    assert_eq!((rig.executed("clone", 5001).await, rig.executed("clone_undone", 5001).await), (2, 1));
}

#[tokio::test]
async fn a_killed_worker_leaves_its_locks_until_an_operator_clears_them() {
    let rig = Rig::quick().await;
    rig.plan_ending("vzclone", "unexpected status").await;
    let upid = rig.begin("POST", CLONE, &[("newid", "5001")]).await;
    assert_eq!(rig.end(&upid).await, "unexpected status");
    let log = rig.get(&format!("/nodes/pve1/tasks/{upid}/log")).await;
    assert!(!log.to_string().contains("TASK"), "{log}");
    assert_eq!(
        (&rig.container(5001).await["lock"], &rig.container(9000).await["lock"]),
        (&json!("create"), &json!("disk"))
    );
    let busy = rig.call("DELETE", "/nodes/pve1/lxc/5001", &[]).await;
    assert_eq!(busy.reason, "CT is locked (create)");
    for vmid in [5001, 9000] {
        rig.steer(&format!("/sim/proxmox/containers/{vmid}"), json!({"lock": null})).await;
    }
    assert_eq!(rig.run("DELETE", "/nodes/pve1/lxc/5001", &[]).await, "OK");
    rig.clone(5002).await;
}

#[tokio::test]
async fn a_new_container_is_created_from_an_archive() {
    let rig = Rig::profile(PveProfile::V8_4).await;
    let archive = "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst";
    let form = [
        ("vmid", "5001"),
        ("ostemplate", archive),
        ("storage", "local-zfs"),
        ("rootfs", "local-zfs:12"),
        ("net0", "name=eth0,bridge=vmbr3,ip=dhcp"),
        ("pool", "zpack"),
        ("start", "1"),
    ];
    let upid = rig.begin("POST", "/nodes/pve1/lxc", &form).await;
    assert!(upid.contains(":vzcreate:5001:"), "{upid}");
    assert_eq!(rig.end(&upid).await, "OK");
    let made = rig.container(5001).await;
    assert_eq!((&made["status"], &made["config"]["unprivileged"]), (&json!("running"), &json!("0")));
    assert_eq!(made["config"]["rootfs"], "local-zfs:subvol-5001-disk-0,size=12G");
    let again = rig.call("POST", "/nodes/pve1/lxc", &form).await;
    assert_eq!(again.reason, "unable to create CT 5001 - CT 5001 already exists on node 'pve1'");

    rig.steer("/sim/proxmox/profile", json!({"version": "9.1"})).await;
    let privileged = [("vmid", "5002"), ("ostemplate", archive), ("storage", "local-zfs"), ("unprivileged", "0")];
    assert_eq!(
        rig.call("POST", "/nodes/pve1/lxc", &privileged).await.reason,
        "Permission check failed (/, Sys.Modify)"
    );
    assert_eq!(rig.run("POST", "/nodes/pve1/lxc", &privileged[..3]).await, "OK");
    assert_eq!(rig.container(5002).await["config"]["unprivileged"], "1");
}

#[tokio::test]
async fn the_checks_of_a_clone_come_in_the_order_of_upstream() {
    let rig = Rig::slow().await;
    rig.begin("POST", CLONE, &[("newid", "5001")]).await;
    let answer = async |form: &[(&str, &str)]| {
        let answer = rig.call("POST", CLONE, form).await;
        assert_eq!(answer.status, 500, "{}", answer.reason);
        answer.reason
    };
    // The lock of the source comes before the number of the copy, the target and the storage before both.
    assert_eq!(answer(&[("newid", "5001")]).await, "CT is locked (disk)");
    assert_eq!(answer(&[("newid", "5001"), ("target", "pve9")]).await, "no such cluster node 'pve9'");
    let elsewhere = [("newid", "5001"), ("full", "1"), ("storage", "local-zfs"), ("target", "pve2")];
    assert_eq!(answer(&elsewhere).await, "can't clone to non-shared storage 'local-zfs'");
    assert_eq!(answer(&[("newid", "5001"), ("storage", "nope")]).await, "storage 'nope' does not exist");
    rig.steer("/sim/proxmox/containers/9000", json!({"lock": null})).await;
    assert_eq!(answer(&[("newid", "5001")]).await, "CT 5001 already exists on node 'pve1'");
    assert_eq!(rig.container(9000).await["lock"], Value::Null, "a refused clone locks nothing");
    assert_eq!(answer(&[("newid", "5002"), ("snapname", "before")]).await, "snapshot 'before' does not exist");
    assert_eq!(rig.container(5002).await, Value::Null);
    for here in ["pve1", "localhost"] {
        rig.begin("POST", CLONE, &[("newid", "5002"), ("target", here)]).await;
        rig.steer("/sim/proxmox/containers/9000", json!({"lock": null})).await;
        assert_eq!(rig.control("DELETE", "/sim/proxmox/containers/5002", Value::Null).await.0, 200);
    }
}
