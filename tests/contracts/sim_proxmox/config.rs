//! Options: which changes apply at once, which are pending, and how values are returned.

use serde_json::{Value, json};
use zpack::sim::proxmox::PveProfile;

use super::Rig;

const CONFIG: &str = "/nodes/pve1/lxc/5001/config";

#[tokio::test]
async fn a_stopped_container_accepts_every_change_and_normalizes_values() {
    let rig = Rig::quick().await;
    rig.clone(5001).await;
    let form = [
        ("net0", "bridge=vmbr2,name=eth0,ip=dhcp"),
        ("tags", "Zpack Game,zpack"),
        ("memory", "2048"),
        ("nameserver", "192.0.2.53"),
        ("description", "op_2"),
    ];
    assert_eq!(rig.call("PUT", CONFIG, &form).await.data(), Value::Null);
    let config = rig.get(CONFIG).await;
    assert_eq!((&config["tags"], &config["memory"]), (&json!("game;zpack"), &json!(2048)));
    assert_eq!((&config["description"], &config["nameserver"]), (&json!("op_2\n"), &json!("192.0.2.53")));
    let net = config["net0"].as_str().unwrap();
    assert!(net.starts_with("name=eth0,bridge=vmbr2,hwaddr=BC:24:11:") && net.ends_with(",ip=dhcp,type=veth"), "{net}");
    assert_eq!(config["digest"].as_str().unwrap().len(), 40);
}

#[tokio::test]
async fn omitting_the_mac_generates_a_new_one() {
    let rig = Rig::quick().await;
    rig.clone(5001).await;
    let mac = |config: &Value| {
        let net = config["net0"].as_str().unwrap().to_owned();
        net.split(',').find_map(|part| part.strip_prefix("hwaddr=").map(str::to_owned)).unwrap()
    };
    let before = mac(&rig.get(CONFIG).await);
    rig.call("PUT", CONFIG, &[("net0", "name=eth0,bridge=vmbr3")]).await.data();
    assert_ne!(mac(&rig.get(CONFIG).await), before);
    rig.call("PUT", CONFIG, &[("net0", "name=eth0,bridge=vmbr3,hwaddr=bc:24:11:00:00:0a")]).await.data();
    assert_eq!(mac(&rig.get(CONFIG).await), "BC:24:11:00:00:0A");
}

#[tokio::test]
async fn a_running_container_applies_some_changes_at_once_and_others_at_the_next_start() {
    let rig = Rig::quick().await;
    rig.running(5001).await;
    let form = [("memory", "4096"), ("cores", "4"), ("nameserver", "192.0.2.53"), ("delete", "features")];
    assert_eq!(rig.call("PUT", CONFIG, &form).await.data(), Value::Null);
    let current = rig.get(&format!("{CONFIG}?current=1")).await;
    assert_eq!((&current["memory"], &current["cores"]), (&json!(4096), &json!(4)));
    assert_eq!((current.get("nameserver"), &current["features"]), (None, &json!("nesting=1")));
    let merged = rig.get(CONFIG).await;
    assert_eq!((&merged["nameserver"], merged.get("features")), (&json!("192.0.2.53"), None));
    let pending = rig.get("/nodes/pve1/lxc/5001/pending").await;
    let of = |key: &str| pending.as_array().unwrap().iter().find(|row| row["key"] == key).unwrap().clone();
    assert_eq!(of("nameserver")["pending"], "192.0.2.53");
    assert_eq!(of("features")["delete"], 1);
    assert_eq!(of("memory").get("pending"), None);

    assert_eq!(rig.run("POST", "/nodes/pve1/lxc/5001/status/reboot", &[]).await, "OK");
    assert_eq!(rig.get(&format!("{CONFIG}?current=1")).await["nameserver"], "192.0.2.53");
}

#[tokio::test]
async fn a_pending_change_can_be_reverted() {
    let rig = Rig::quick().await;
    rig.running(5001).await;
    rig.call("PUT", CONFIG, &[("nameserver", "192.0.2.53")]).await.data();
    rig.call("PUT", CONFIG, &[("revert", "nameserver")]).await.data();
    assert_eq!(rig.get(CONFIG).await.get("nameserver"), None);
}

#[tokio::test]
async fn refused_changes_have_the_messages_of_upstream() {
    let rig = Rig::quick().await;
    rig.running(5001).await;
    for (form, status, reason) in [
        (vec![], 500, "no options specified"),
        (
            vec![("cores", "2"), ("digest", "0000")],
            500,
            "detected modified configuration - file changed by other user? Try again.",
        ),
        (vec![("unprivileged", "0")], 500, "unable to modify read-only option: 'unprivileged'"),
        (vec![("cores", "0")], 400, "Parameter verification failed."),
    ] {
        let answer = rig.call("PUT", CONFIG, &form).await;
        assert_eq!((answer.status, answer.reason.as_str()), (status, reason));
    }
    let hotplug = rig.call("PUT", CONFIG, &[("net0", "name=eth0,bridge=vmbr9"), ("cores", "7")]).await;
    assert_eq!(hotplug.status, 400);
    assert!(hotplug.json()["errors"]["net0"].as_str().unwrap().starts_with("unable to hotplug net0"));
    assert_ne!(rig.get(CONFIG).await["cores"], 7, "nothing of a refused change is saved");
}

#[tokio::test]
async fn the_digest_guards_against_a_change_in_between() {
    let rig = Rig::quick().await;
    rig.clone(5001).await;
    let digest = rig.get(CONFIG).await["digest"].as_str().unwrap().to_owned();
    rig.call("PUT", CONFIG, &[("cores", "3"), ("digest", &digest)]).await.data();
    assert_eq!(rig.call("PUT", CONFIG, &[("cores", "4"), ("digest", &digest)]).await.status, 500);
}

#[tokio::test]
async fn a_lock_refuses_changes_at_once_and_a_flock_after_ten_seconds() {
    let rig = Rig::scaled(0.02).await;
    rig.running(5001).await;
    rig.steer("/sim/proxmox/containers/5001", json!({"lock": "backup"})).await;
    assert_eq!(rig.call("PUT", CONFIG, &[("cores", "2")]).await.reason, "CT is locked (backup)");
    rig.steer("/sim/proxmox/containers/5001", json!({"lock": null, "ignoresShutdown": true})).await;
    rig.begin("POST", "/nodes/pve1/lxc/5001/status/shutdown", &[]).await;
    let began = std::time::Instant::now();
    let answer = rig.call("PUT", CONFIG, &[("cores", "2")]).await;
    assert_eq!(answer.reason, "can't lock file '/run/lock/lxc/pve-config-5001.lock' - got timeout");
    assert!(began.elapsed().as_millis() >= 200, "{:?}", began.elapsed());
}

#[tokio::test]
async fn scalars_change_their_type_with_the_release() {
    let rig = Rig::profile(PveProfile::V8_1).await;
    rig.clone(5001).await;
    assert_eq!(rig.get(CONFIG).await["memory"], "1024");
    assert_eq!(rig.get("/nodes/pve1/lxc").await[0]["vmid"], "5001");
    rig.steer("/sim/proxmox/profile", json!({"version": "9.1"})).await;
    assert_eq!(rig.get(CONFIG).await["memory"], 1024);
    assert_eq!(rig.get("/nodes/pve1/lxc").await[0]["vmid"], 5001);
}

#[tokio::test]
async fn disks_grow_to_an_absolute_size_and_never_shrink() {
    let rig = Rig::quick().await;
    rig.clone(5001).await;
    let resize = "/nodes/pve1/lxc/5001/resize";
    assert_eq!(rig.run("PUT", resize, &[("disk", "rootfs"), ("size", "20G")]).await, "OK");
    assert!(rig.get(CONFIG).await["rootfs"].as_str().unwrap().ends_with(",size=20G"));
    let again = rig.call("PUT", resize, &[("disk", "rootfs"), ("size", "20G")]).await;
    assert_eq!(again.reason, "disk is already at specified size");
    let smaller = rig.call("PUT", resize, &[("disk", "rootfs"), ("size", "10G")]).await;
    assert_eq!(smaller.reason, "unable to shrink disk size");
    assert_eq!(rig.run("PUT", resize, &[("disk", "rootfs"), ("size", "+5G")]).await, "OK");
    assert!(rig.get(CONFIG).await["rootfs"].as_str().unwrap().ends_with(",size=25G"));
}

#[tokio::test]
async fn what_cannot_be_deleted_is_named() {
    let rig = Rig::quick().await;
    rig.clone(5001).await;
    let field = async |form: &[(&str, &str)]| {
        let answer = rig.call("PUT", CONFIG, form).await;
        assert_eq!(answer.status, 400, "{}", answer.reason);
        answer.json()["errors"].clone()
    };
    assert_eq!(field(&[("delete", "colour")]).await, json!({"delete": "unknown option 'colour'"}));
    assert_eq!(field(&[("delete", "digest")]).await, json!({"delete": "unknown option 'digest'"}));
    assert_eq!(field(&[("revert", "colour")]).await, json!({"revert": "unknown option 'colour'"}));
    let both = field(&[("delete", "tags"), ("tags", "a")]).await;
    assert_eq!(both, json!({"delete": "you can't use '-tags' and -delete tags' at the same time"}));
    for (option, text) in [
        ("memory", "unable to delete required option 'memory'"),
        ("rootfs", "unable to delete required option 'rootfs'"),
        ("unprivileged", "unable to delete read-only option: 'unprivileged'"),
    ] {
        let answer = rig.call("PUT", CONFIG, &[("delete", option)]).await;
        assert_eq!((answer.status, answer.reason.as_str()), (500, text));
    }
    rig.call("PUT", CONFIG, &[("delete", "tags,nameserver"), ("cores", "3")]).await.data();
    assert_eq!(rig.get(CONFIG).await["cores"], 3, "an option that is not set is deleted already");
    rig.steer("/sim/proxmox/containers/5001", json!({"lock": "backup"})).await;
    assert_eq!(rig.call("PUT", CONFIG, &[("delete", "colour")]).await.reason, "CT is locked (backup)");
}
