//! Power, addresses, high availability, removal.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zpack::sim::proxmox::PveProfile;

use super::{DEADLINE, Rig};

const STATUS: &str = "/nodes/pve1/lxc/5001/status";

#[tokio::test]
async fn starting_twice_and_stopping_twice_are_refused() {
    let rig = Rig::quick().await;
    rig.clone(5001).await;
    for (op, noun) in [("stop", "CT"), ("shutdown", "CT"), ("reboot", "VM")] {
        let answer = rig.call("POST", &format!("{STATUS}/{op}"), &[]).await;
        assert_eq!((answer.status, answer.reason), (500, format!("{noun} 5001 not running")));
    }
    assert_eq!(rig.run("POST", &format!("{STATUS}/start"), &[]).await, "OK");
    assert_eq!(rig.get(&format!("{STATUS}/current")).await["status"], "running");
    assert_eq!(rig.call("POST", &format!("{STATUS}/start"), &[]).await.reason, "CT 5001 already running");
    assert_eq!(rig.run("POST", &format!("{STATUS}/shutdown"), &[]).await, "OK");
    let stopped = rig.get(&format!("{STATUS}/current")).await;
    assert_eq!((&stopped["status"], stopped.get("pid")), (&json!("stopped"), None));
    assert_eq!((rig.executed("start", 5001).await, rig.executed("stop", 5001).await), (1, 1));
}

#[tokio::test]
async fn a_template_or_a_locked_container_fails_in_the_task() {
    let rig = Rig::quick().await;
    assert_eq!(
        rig.run("POST", "/nodes/pve1/lxc/9000/status/start", &[]).await,
        "you can't start a CT if it's a template"
    );
    rig.clone(5001).await;
    rig.steer("/sim/proxmox/containers/5001", json!({"lock": "snapshot"})).await;
    assert_eq!(rig.run("POST", &format!("{STATUS}/start"), &[]).await, "CT is locked (snapshot)");
    assert_eq!(rig.container(5001).await["lock"], "snapshot", "a refused task clears no lock of others");
}

#[tokio::test]
async fn a_missing_bridge_fails_at_start() {
    let rig = Rig::quick().await;
    rig.clone(5001).await;
    rig.call("PUT", "/nodes/pve1/lxc/5001/config", &[("net0", "name=eth0,bridge=vmbr9,ip=dhcp")]).await.data();
    assert_eq!(rig.run("POST", &format!("{STATUS}/start"), &[]).await, "startup for container '5001' failed");
}

#[tokio::test]
async fn an_ignored_shutdown_times_out_unless_it_may_force_a_stop() {
    let rig = Rig::quick().await;
    rig.running(5001).await;
    rig.steer("/sim/proxmox/containers/5001", json!({"ignoresShutdown": true})).await;
    let shutdown = format!("{STATUS}/shutdown");
    assert_eq!(rig.run("POST", &shutdown, &[("timeout", "5")]).await, "container did not stop");
    assert_eq!(rig.container(5001).await["status"], "running");
    assert_eq!(rig.run("POST", &shutdown, &[("timeout", "5"), ("forceStop", "1")]).await, "OK");
    assert_eq!(rig.container(5001).await["status"], "stopped");
}

#[tokio::test]
async fn a_stop_times_out_behind_a_shutdown_unless_it_overrules_it() {
    let rig = Rig::scaled(0.02).await;
    rig.running(5001).await;
    rig.steer("/sim/proxmox/containers/5001", json!({"ignoresShutdown": true})).await;
    let shutdown = rig.begin("POST", &format!("{STATUS}/shutdown"), &[("timeout", "600")]).await;
    let exit = rig.run("POST", &format!("{STATUS}/stop"), &[]).await;
    assert!(exit.ends_with("pve-config-5001.lock' - got timeout"), "{exit}");
    assert_eq!(rig.run("POST", &format!("{STATUS}/stop"), &[("overrule-shutdown", "1")]).await, "OK");
    assert_eq!(rig.end(&shutdown).await, "received interrupt");
}

#[tokio::test]
async fn before_8_2_a_held_flock_refuses_the_call_itself() {
    let rig = Rig::profile(PveProfile::V8_1).await;
    rig.running(5001).await;
    rig.steer("/sim/proxmox/containers/5001", json!({"ignoresShutdown": true})).await;
    rig.begin("POST", &format!("{STATUS}/shutdown"), &[("timeout", "600")]).await;
    let answer = rig.call("POST", &format!("{STATUS}/stop"), &[]).await;
    assert_eq!(answer.status, 500);
    assert!(answer.reason.ends_with("got timeout"), "{}", answer.reason);
}

#[tokio::test]
async fn interfaces_appear_late_with_loopback_and_link_local_first() {
    let rig = Rig::scaled(0.1).await;
    rig.clone(5001).await;
    let path = "/nodes/pve1/lxc/5001/interfaces";
    assert_eq!(rig.get(path).await, Value::Null);
    assert_eq!(rig.run("POST", &format!("{STATUS}/start"), &[]).await, "OK");
    let early = rig.get(path).await;
    assert_eq!((&early[0]["name"], &early[1]["name"], early[1].get("inet")), (&json!("lo"), &json!("eth0"), None));
    let ready = rig.until(|| rig.get(path), |rows| rows[1]["inet"].is_string()).await;
    let address = rig.container(5001).await["address"].as_str().unwrap().to_owned();
    assert_eq!(ready[1]["inet"], format!("{address}/24"));
    assert!(ready[1]["ip-addresses"][0]["ip-address"].as_str().unwrap().starts_with("fe80::"));
    assert_eq!(ready[1]["ip-addresses"][2]["ip-address"], address);
    // An IPv6 address comes before the one of DHCP, and Docker has one of its own.
    assert!(early[1]["inet6"].as_str().unwrap().starts_with("2001:db8:"));
    assert_eq!((&early[2]["name"], &early[2]["inet"]), (&json!("docker0"), &json!("192.0.2.1/16")));
    rig.steer("/sim/proxmox/profile", json!({"version": "8.3"})).await;
    let older = rig.get(path).await;
    assert_eq!((older[1].get("ip-addresses"), older[1]["inet"].is_string()), (None, true));
}

#[tokio::test]
async fn a_static_address_exists_at_once_and_an_agent_listens_on_it() {
    let rig = Rig::quick().await;
    rig.clone(5001).await;
    let address = rig.world.network().host(77);
    let net = format!("name=eth0,bridge=vmbr3,ip={address}/24");
    rig.call("PUT", "/nodes/pve1/lxc/5001/config", &[("net0", &net)]).await.data();
    assert_eq!(rig.run("POST", &format!("{STATUS}/start"), &[]).await, "OK");
    assert_eq!(rig.get("/nodes/pve1/lxc/5001/interfaces").await[1]["inet"], format!("{address}/24"));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let health = format!("http://{address}:{}/health", rig.world.agent_port());
    let answers = async || match http.get(&health).send().await {
        Ok(answer) => answer.status() == 200,
        Err(_) => false,
    };
    rig.until(async || json!(answers().await), |up| *up == true).await;
    assert_eq!(rig.run("POST", &format!("{STATUS}/stop"), &[]).await, "OK");
    rig.until(async || json!(answers().await), |up| *up == false).await;
}

#[tokio::test]
async fn ha_accepts_a_request_and_acts_later() {
    let rig = Rig::quick().await;
    rig.clone(5001).await;
    rig.steer("/sim/proxmox/containers/5001", json!({"ha": true})).await;
    assert_eq!(rig.get("/cluster/ha/resources/ct:5001").await["sid"], "ct:5001");
    assert_eq!(rig.call("GET", "/cluster/ha/resources/ct:9000", &[]).await.reason, "no such resource 'ct:9000'");
    let upid = rig.begin("POST", &format!("{STATUS}/start"), &[]).await;
    assert!(upid.contains(":hastart:5001:"), "{upid}");
    assert_eq!(rig.end(&upid).await, "OK");
    let current = format!("{STATUS}/current");
    assert_eq!(rig.get(&current).await["ha"]["managed"], 1);
    rig.until(|| rig.get(&current), |row| row["status"] == "running").await;
    let overrule = rig.call("POST", &format!("{STATUS}/stop"), &[("overrule-shutdown", "1")]).await;
    assert_eq!(overrule.status, 400);
    let removal = rig.call("DELETE", "/nodes/pve1/lxc/5001", &[("force", "1")]).await;
    assert!(removal.reason.contains("used in HA resources"), "{}", removal.reason);
}

#[tokio::test]
async fn removal_is_refused_while_it_would_destroy_what_is_in_use() {
    let rig = Rig::quick().await;
    rig.running(5001).await;
    let path = "/nodes/pve1/lxc/5001";
    let running = rig.call("DELETE", path, &[("purge", "1")]).await;
    assert_eq!(running.reason, "unable to destroy CT 5001 - container is running");
    rig.call("PUT", &format!("{path}/config"), &[("protection", "1")]).await.data();
    let protected = rig.call("DELETE", path, &[("force", "1")]).await;
    assert_eq!(protected.reason, "can't remove CT 5001 - protection mode enabled");
    assert_eq!(
        rig.run("DELETE", "/nodes/pve1/lxc/9000", &[]).await,
        "base volume 'local-zfs:basevol-9000-disk-0' is still in use by linked clones"
    );
    rig.call("PUT", &format!("{path}/config"), &[("protection", "0")]).await.data();
    assert_eq!(rig.run("DELETE", path, &[("force", "1"), ("purge", "1")]).await, "OK");
    assert_eq!(rig.container(5001).await, Value::Null);
    assert_eq!((rig.executed("stop", 5001).await, rig.executed("destroy", 5001).await), (1, 1));
    let gone = rig.call("GET", &format!("{path}/config"), &[]).await;
    assert_eq!(gone.reason, "Configuration file 'nodes/pve1/lxc/5001.conf' does not exist");
}

#[tokio::test]
async fn a_container_being_removed_is_locked_outside_its_pool_and_keeps_its_vmid() {
    let rig = Rig::quick().await;
    rig.clone(5001).await;
    let slow = Rig::slow().await;
    slow.begin("POST", "/nodes/pve1/lxc/9000/clone", &[("newid", "5001")]).await;
    slow.steer("/sim/proxmox/containers/5001", json!({"lock": null})).await;
    slow.begin("DELETE", "/nodes/pve1/lxc/5001", &[]).await;
    let row = slow.until(async || slow.container(5001).await, |row| row["lock"] == "destroyed").await;
    assert_eq!(row["pool"], Value::Null);
    let taken = slow.call("GET", "/cluster/nextid?vmid=5001", &[]).await;
    assert_eq!((taken.status, taken.json()["errors"]["vmid"].clone()), (400, json!("VM 5001 already exists")));
}

#[tokio::test]
async fn a_reused_vmid_is_a_new_container() {
    let rig = Rig::quick().await;
    rig.clone(5001).await;
    let first = rig.container(5001).await;
    assert_eq!(rig.run("DELETE", "/nodes/pve1/lxc/5001", &[]).await, "OK");
    rig.clone(5001).await;
    assert_ne!(rig.container(5001).await["incarnation"], first["incarnation"]);
}

#[tokio::test]
async fn a_task_continues_after_the_client_disconnects() {
    let rig = Rig::quick().await;
    let address = rig.address();
    let request = rig.request("POST", "/nodes/pve1/lxc/9000/clone", &[("newid", "5001")]);
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
    let begun = Instant::now();
    rig.until(async || rig.container(5001).await, |row| !row.is_null()).await;
    drop(stream);
    rig.until(async || rig.container(5001).await, |row| row["lock"].is_null()).await;
    assert!(begun.elapsed() < DEADLINE && begun.elapsed() > Duration::ZERO);
    assert_eq!(rig.executed("clone", 5001).await, 1);
}

#[tokio::test]
async fn a_container_on_another_node_is_not_running_here_and_cannot_start_here() {
    let rig = Rig::quick().await;
    rig.running(5001).await;
    // PVE::API2::LXC::Status looks for a process of that number on its node; only the task reads the configuration.
    for vmid in [5001, 5009] {
        let there = format!("/nodes/pve2/lxc/{vmid}/status");
        for (op, noun) in [("stop", "CT"), ("shutdown", "CT"), ("suspend", "CT"), ("reboot", "VM")] {
            let answer = rig.call("POST", &format!("{there}/{op}"), &[]).await;
            assert_eq!((answer.status, answer.reason), (500, format!("{noun} {vmid} not running")));
        }
        let missing = format!("Configuration file 'nodes/pve2/lxc/{vmid}.conf' does not exist");
        assert_eq!(rig.run("POST", &format!("{there}/start"), &[]).await, missing);
        assert_eq!(rig.get(&format!("/nodes/pve2/lxc/{vmid}/interfaces")).await, Value::Null);
        assert_eq!(rig.call("GET", &format!("{there}/current"), &[]).await.reason, missing);
    }
    assert_eq!(rig.container(5001).await["status"], "running");
}

#[tokio::test]
async fn a_suspended_container_is_off_until_it_is_resumed() {
    let rig = Rig::quick().await;
    rig.running(5001).await;
    assert_eq!(rig.call("POST", &format!("{STATUS}/resume"), &[]).await.reason, "CT 5001 already running");
    assert_eq!(rig.run("POST", &format!("{STATUS}/suspend"), &[]).await, "OK");
    assert_eq!(rig.get(&format!("{STATUS}/current")).await["status"], "stopped");
    assert_eq!(rig.run("POST", &format!("{STATUS}/resume"), &[]).await, "OK");
    assert_eq!(rig.get(&format!("{STATUS}/current")).await["status"], "running");
    rig.run("POST", &format!("{STATUS}/stop"), &[]).await;
    let nothing = rig.run("POST", &format!("{STATUS}/resume"), &[]).await;
    assert!(nothing.starts_with("command 'lxc-checkpoint -n 5001 -r "), "{nothing}");
    assert!(nothing.ends_with("failed: exit code 1"), "{nothing}");
}
