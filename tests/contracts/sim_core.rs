//! The core of the simulated world: faults, journal, state file, control.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zpack::sim::{SimConfig, SimError, World};

use super::raw::Connection;
use super::sim_proxmox::Rig;

const CLONE: &str = "/nodes/pve1/lxc/9000/clone";

async fn plan(rig: &Rig, fault: Value) -> u64 {
    rig.steer("/sim/faults", fault).await["id"].as_u64().unwrap()
}

#[tokio::test]
async fn a_gateway_error_before_means_not_executed_and_after_means_executed() {
    let rig = Rig::quick().await;
    for (when, status, reason, newid, executed) in
        [("before", 595, "No route to host", 5001, 0), ("after", 596, "Connection timed out", 5002, 1)]
    {
        plan(&rig, json!({"peer": "proxmox", "method": "POST", "path": "/nodes/*/clone", "when": when, "action": "status", "status": status})).await;
        let answer = rig.call("POST", CLONE, &[("newid", &newid.to_string())]).await;
        assert_eq!((answer.status, answer.reason.as_str()), (status, reason));
        assert!(answer.body.is_empty());
        assert_eq!(rig.executed("clone", newid).await, executed);
    }
    assert_eq!(rig.control("GET", "/sim/faults", Value::Null).await.1, json!([]), "a used fault is gone");
}

#[tokio::test]
async fn a_connection_can_be_reset_or_cut_off() {
    let rig = Rig::quick().await;
    for (when, executed) in [("before", 0), ("after", 1)] {
        plan(&rig, json!({"peer": "proxmox", "path": CLONE, "when": when, "action": "reset"})).await;
        let mut connection = Connection::open(rig.address()).await;
        let error = connection.exchange(&rig.request("POST", CLONE, &[("newid", "5001")])).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{when}");
        assert_eq!(rig.executed("clone", 5001).await, executed);
    }
    plan(&rig, json!({"peer": "proxmox", "path": "/version", "when": "after", "action": "truncate"})).await;
    let mut connection = Connection::open(rig.address()).await;
    let error = connection.exchange(&rig.request("GET", "/version", &[])).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_hanging_answer_lasts_until_the_client_disconnects() {
    let rig = Rig::quick().await;
    plan(&rig, json!({"peer": "proxmox", "path": CLONE, "when": "after", "action": "timeout"})).await;
    let mut connection = Connection::open(rig.address()).await;
    let request = rig.request("POST", CLONE, &[("newid", "5001")]);
    let waited = tokio::time::timeout(Duration::from_millis(300), connection.exchange(&request)).await;
    assert!(waited.is_err(), "an answer came");
    assert_eq!(rig.executed("clone", 5001).await, 1);
}

#[tokio::test]
async fn planned_pages_delays_and_bodies_are_sent() {
    let rig = Rig::quick().await;
    plan(&rig, json!({"peer": "proxmox", "path": "/version", "when": "before", "action": "html"})).await;
    let page = rig.call("GET", "/version", &[]).await;
    assert_eq!((page.status, page.headers["content-type"].as_str()), (502, "text/html"));
    plan(&rig, json!({"peer": "proxmox", "path": "/version", "when": "before", "action": "delay", "delayMs": 200}))
        .await;
    let began = Instant::now();
    rig.get("/version").await;
    assert!(began.elapsed() >= Duration::from_millis(200));
    let text = "got timeout";
    plan(&rig, json!({"peer": "proxmox", "path": "/version", "when": "before", "action": "status", "status": 500, "reason": text, "body": {"data": null}})).await;
    let answer = rig.call("GET", "/version", &[]).await;
    assert_eq!((answer.status, answer.reason.as_str(), answer.json()), (500, text, json!({"data": null})));
}

#[tokio::test]
async fn a_fault_hits_the_nth_request_and_can_be_removed() {
    let rig = Rig::quick().await;
    let fault = json!({"peer": "proxmox", "path": "/version", "nth": 2, "times": 2, "when": "before", "action": "status", "status": 503});
    plan(&rig, fault.clone()).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(rig.call("GET", "/version", &[]).await.status);
    }
    assert_eq!(statuses, [200, 503, 503, 200]);
    let id = plan(&rig, fault.clone()).await;
    assert_eq!(rig.control("DELETE", &format!("/sim/faults/{id}"), Value::Null).await.0, 200);
    assert_eq!(rig.control("DELETE", &format!("/sim/faults/{id}"), Value::Null).await.0, 404);
    plan(&rig, fault).await;
    assert_eq!(rig.control("DELETE", "/sim/faults", Value::Null).await.1["removed"], 1);
}

#[tokio::test]
async fn an_invalid_fault_plan_is_refused_with_a_message() {
    let rig = Rig::quick().await;
    for body in [
        json!({"peer": "nobody", "when": "before", "action": "reset"}),
        json!({"peer": "proxmox", "when": "during", "action": "reset"}),
        json!({"peer": "proxmox", "when": "before", "action": "reset", "colour": "red"}),
        json!({"peer": "proxmox", "when": "before", "action": "status"}),
        json!([1]),
    ] {
        let (status, answer) = rig.control("POST", "/sim/faults", body).await;
        assert_eq!(status, 400);
        assert!(!answer["error"]["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(rig.control("GET", "/sim/nothing", Value::Null).await.0, 404);
}

#[tokio::test]
async fn the_journal_shows_requests_without_secrets() {
    let rig = Rig::quick().await;
    let id = plan(&rig, json!({"peer": "proxmox", "path": "/version", "when": "before", "action": "reset"})).await;
    let form = [("username", "zpack@pve"), ("password", "open sesame")];
    rig.call("POST", "/access/ticket", &form).await;
    Connection::open(rig.address()).await.exchange(&rig.request("GET", "/version", &[])).await.unwrap_err();
    let (_, journal) = rig.control("GET", "/sim/journal?peer=proxmox", Value::Null).await;
    assert_eq!((&journal[0]["method"], &journal[0]["path"]), (&json!("POST"), &json!("/api2/json/access/ticket")));
    assert_eq!((&journal[0]["status"], &journal[0]["authorization"]), (&json!(403), &json!(true)));
    assert_eq!(journal[0]["body"], "username=zpack%40pve&password=***");
    assert_eq!((&journal[1]["status"], &journal[1]["fault"]), (&Value::Null, &json!(id)));
    let secret = rig.world.proxmox_token();
    let secret = secret.rsplit_once('=').unwrap().1;
    assert!(!journal.to_string().contains("sesame") && !journal.to_string().contains(secret));
    assert_eq!(rig.control("GET", "/sim/journal?peer=agent", Value::Null).await.1, json!([]));
}

#[tokio::test]
async fn a_world_is_restored_from_its_state_file() {
    let folder = tempfile::tempdir().unwrap();
    let config = SimConfig { state_file: Some(folder.path().join("sim.json")), ..SimConfig::default() };
    let of = |rig: &Rig| (rig.world.proxmox_token(), rig.world.agent_token().to_owned(), rig.world.network());
    let mut rig = Rig::with(config.clone()).await;
    rig.running(5001).await;
    let (before, ledger) = (of(&rig), rig.state().await["ledger"].clone());
    let mut same_port = false;
    // Another test may take the port while it is free.
    for _ in 0..10 {
        let url = rig.world.proxmox_url();
        rig.world.shutdown().await.unwrap();
        rig = Rig::with(config.clone()).await;
        assert_eq!(of(&rig), before);
        assert_eq!(rig.container(5001).await["status"], "running");
        assert_eq!(rig.state().await["ledger"], ledger);
        same_port |= rig.world.proxmox_url() == url;
        if same_port {
            break;
        }
    }
    assert!(same_port, "it listens somewhere else after every restart");
}

#[tokio::test]
async fn a_running_task_is_finished_after_a_crash_of_the_simulator() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sim.json");
    let config = |time_scale| SimConfig { state_file: Some(path.clone()), time_scale, ..SimConfig::default() };
    let rig = Rig::with(config(100.0)).await;
    let upid = rig.begin("POST", CLONE, &[("newid", "5001"), ("description", "op_1")]).await;
    let read = async || {
        tokio::fs::read_to_string(&path).await.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap())
    };
    rig.until(read, |saved| saved["peers"]["proxmox"]["containers"]["5001"].is_object()).await;
    let copy = folder.path().join("crashed.json");
    std::fs::copy(&path, &copy).unwrap();
    drop(rig);

    let rig = Rig::with(SimConfig { state_file: Some(copy), ..SimConfig::default() }).await;
    assert_eq!(rig.end(&upid).await, "OK");
    assert_eq!((&rig.container(5001).await["lock"], &rig.container(9000).await["lock"]), (&Value::Null, &Value::Null));
    assert_eq!(rig.executed("clone", 5001).await, 1);
}

#[tokio::test]
async fn a_damaged_state_file_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sim.json");
    std::fs::write(&path, "{\"network\":[1,").unwrap();
    let config = SimConfig { state_file: Some(path), ..SimConfig::default() };
    let Err(error) = World::start(config).await else { panic!("it started") };
    assert!(matches!(error, SimError::DamagedState { .. }));
    assert!(error.to_string().contains("sim.json"), "{error}");
}

#[tokio::test]
async fn worlds_do_not_share_a_network() {
    let first = World::start(SimConfig { agent_network: Some([9, 9]), ..SimConfig::default() }).await.unwrap();
    let second = World::start(SimConfig::default()).await.unwrap();
    assert_eq!(first.network().gateway().to_string(), "127.9.9.1");
    assert!(second.network().gateway().is_loopback());
    assert_ne!(first.control_url(), second.control_url());
}

/// Everything that control requests can add is bounded, so that a world that runs for long does not grow.
#[tokio::test]
async fn state_added_by_control_requests_is_bounded() {
    let rig = Rig::quick().await;
    let fault = json!({"peer": "artifacts", "path": "/never", "when": "before", "action": "reset"});
    for (path, most, body) in [
        ("/sim/faults", 1000, fault),
        ("/sim/proxmox/tasks/next", 1000, json!({"type": "vzdump", "exitstatus": "OK"})),
        ("/sim/agents/next", 100, json!({"players": 1})),
        ("/sim/technitium/tokens", 99, json!({})),
        ("/sim/cloudflare/tokens", 99, json!({})),
    ] {
        for _ in 0..most {
            let (status, answer) = rig.control("POST", path, body.clone()).await;
            assert_eq!(status, 200, "{path}: {answer}");
        }
        assert_eq!(rig.control("POST", path, body).await.0, 400, "{path}");
    }
    // The token of zpack itself is one of them.
    for number in 1..100 {
        let (status, answer) =
            rig.control("POST", "/sim/proxmox/tokens", json!({"id": format!("zpack@pve!{number}"), "acl": []})).await;
        assert_eq!(status, 200, "{answer}");
    }
    let one_more = json!({"id": "zpack@pve!more", "acl": []});
    assert_eq!(rig.control("POST", "/sim/proxmox/tokens", one_more).await.0, 400);
}

#[tokio::test]
async fn pages_of_a_browser_do_not_steer_the_world() {
    let rig = Rig::quick().await;
    let url = format!("{}/sim/faults", rig.world.control_url());
    let own = rig.world.control_url();
    for (header, value, status) in [
        ("origin", "https://evil.example", 403),
        ("origin", "null", 403),
        ("origin", "http://127.0.0.1:1", 403),
        ("origin", own.as_str(), 200),
        ("host", "rebound.example", 403),
        ("host", "127.0.0.1.evil.example:80", 403),
        ("host", "localhost:1", 200),
        ("host", "[::1]", 200),
    ] {
        let request = reqwest::Client::new().delete(&url).header(header, value);
        assert_eq!(request.send().await.unwrap().status().as_u16(), status, "{header}: {value}");
    }
}
