//! Snapshots and backups.

use serde_json::{Value, json};

use super::Rig;

const SNAPSHOT: &str = "/nodes/pve1/lxc/5001/snapshot";

#[tokio::test]
async fn a_rollback_stops_the_container_and_restores_its_options() {
    let rig = Rig::quick().await;
    rig.running(5001).await;
    assert_eq!(rig.run("POST", SNAPSHOT, &[("snapname", "before")]).await, "OK");
    rig.call("PUT", "/nodes/pve1/lxc/5001/config", &[("memory", "4096")]).await.data();
    assert_eq!(rig.run("POST", &format!("{SNAPSHOT}/before/rollback"), &[]).await, "OK");
    let row = rig.container(5001).await;
    assert_eq!((&row["status"], &row["memory"], &row["lock"]), (&json!("stopped"), &json!(1024), &Value::Null));
}

#[tokio::test]
async fn only_the_newest_snapshot_can_be_rolled_back_and_names_are_used_once() {
    let rig = Rig::quick().await;
    rig.clone(5001).await;
    for name in ["one", "two"] {
        assert_eq!(rig.run("POST", SNAPSHOT, &[("snapname", name)]).await, "OK");
    }
    assert_eq!(rig.run("POST", SNAPSHOT, &[("snapname", "two")]).await, "snapshot name 'two' already used");
    let exit = rig.run("POST", &format!("{SNAPSHOT}/one/rollback"), &[]).await;
    assert!(exit.starts_with("can't rollback, 'one' is not most recent snapshot on "), "{exit}");
    let list = rig.get(SNAPSHOT).await;
    let names: Vec<&str> = list.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["one", "two", "current"]);
    assert_eq!(rig.run("DELETE", &format!("{SNAPSHOT}/two"), &[]).await, "OK");
    assert_eq!(rig.run("POST", &format!("{SNAPSHOT}/one/rollback"), &[("start", "1")]).await, "OK");
    assert_eq!(rig.container(5001).await["status"], "running");
    let template = rig.run("POST", "/nodes/pve1/lxc/9000/snapshot", &[("snapname", "one")]).await;
    assert_eq!(template, "you can't take a snapshot if it's a template");
}

#[tokio::test]
async fn a_backup_can_be_found_by_container_and_restored_as_another() {
    let rig = Rig::quick().await;
    rig.clone(5001).await;
    let upid = rig
        .begin("POST", "/nodes/pve1/vzdump", &[("vmid", "5001"), ("storage", "local"), ("notes-template", "op_3")])
        .await;
    assert!(upid.contains(":vzdump:5001:"), "{upid}");
    assert_eq!(rig.end(&upid).await, "OK");
    let content = rig.get("/nodes/pve1/storage/local/content?content=backup&vmid=5001").await;
    assert_eq!((&content[0]["notes"], &content[0]["vmid"]), (&json!("op_3"), &json!(5001)));
    let volid = content[0]["volid"].as_str().unwrap();
    let form = [("vmid", "5002"), ("ostemplate", volid), ("restore", "1"), ("storage", "local-zfs")];
    let upid = rig.begin("POST", "/nodes/pve1/lxc", &form).await;
    assert!(upid.contains(":vzrestore:5002:"), "{upid}");
    assert_eq!(rig.end(&upid).await, "OK");
    assert_eq!(rig.container(5002).await["hostname"], "mc-1");
}

#[tokio::test]
async fn a_backup_of_a_missing_container_is_ok_without_a_task() {
    let rig = Rig::quick().await;
    rig.clone(5001).await;
    assert_eq!(rig.call("POST", "/nodes/pve2/vzdump", &[("vmid", "5001")]).await.data(), "OK");
}

#[tokio::test]
async fn a_container_is_locked_while_it_is_backed_up() {
    let rig = Rig::slow().await;
    rig.begin("POST", "/nodes/pve1/vzdump", &[("vmid", "9000")]).await;
    rig.until(async || rig.container(9000).await, |row| row["lock"] == "backup").await;
    let clone = rig.call("POST", "/nodes/pve1/lxc/9000/clone", &[("newid", "5001")]).await;
    assert_eq!(clone.reason, "CT is locked (backup)");
}

#[tokio::test]
async fn converting_to_a_template_answers_null() {
    let rig = Rig::quick().await;
    rig.clone(5001).await;
    assert_eq!(rig.call("POST", "/nodes/pve1/lxc/5001/template", &[]).await.data(), Value::Null);
    let row = rig.until(async || rig.container(5001).await, |row| row["template"] == true).await;
    assert!(row["config"]["rootfs"].as_str().unwrap().contains("basevol-5001"));
}
