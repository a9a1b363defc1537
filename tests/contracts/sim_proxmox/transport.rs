//! Transport rules and error formats.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zpack::sim::proxmox::PveProfile;

use super::Rig;
use crate::contracts::raw::Connection;

#[tokio::test]
async fn a_success_is_an_envelope_and_keeps_the_connection() {
    let rig = Rig::quick().await;
    let mut connection = Connection::open(rig.address()).await;
    for _ in 0..2 {
        let answer = connection.exchange(&rig.request("GET", "/version", &[])).await.unwrap();
        assert_eq!(answer.data()["release"], "9.1");
        assert_eq!(answer.headers["content-type"], "application/json;charset=UTF-8");
        assert_eq!(answer.headers["server"], "pve-api-daemon/3.0");
    }
}

#[tokio::test]
async fn an_error_closes_the_connection_with_the_message_format_of_the_release() {
    for (profile, body) in [
        (PveProfile::V8_1, json!({"data": null})),
        (PveProfile::V8_3, json!({"data": null})),
        (
            PveProfile::V8_4,
            json!({"data": null, "message": "Configuration file 'nodes/pve1/lxc/4711.conf' does not exist\n"}),
        ),
        (
            PveProfile::V9_1,
            json!({"data": null, "message": "Configuration file 'nodes/pve1/lxc/4711.conf' does not exist\n"}),
        ),
    ] {
        let rig = Rig::profile(profile).await;
        let mut connection = Connection::open(rig.address()).await;
        let answer = connection.exchange(&rig.request("GET", "/nodes/pve1/lxc/4711/config", &[])).await.unwrap();
        assert_eq!(answer.status, 500);
        assert_eq!(answer.reason, "Configuration file 'nodes/pve1/lxc/4711.conf' does not exist");
        assert_eq!(answer.json(), body);
        assert_eq!(answer.headers["connection"], "close");
        connection.closed().await;
    }
}

#[tokio::test]
async fn the_release_can_be_switched_at_run_time() {
    let rig = Rig::quick().await;
    rig.steer("/sim/proxmox/profile", json!({"version": "8.3"})).await;
    assert_eq!(rig.get("/version").await["release"], "8.3");
    let (status, answer) = rig.control("POST", "/sim/proxmox/profile", json!({"version": "7.4"})).await;
    assert_eq!(status, 400);
    assert!(answer["error"]["message"].as_str().unwrap().contains("7.4"), "{answer}");
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_five_seconds() {
    let rig = Rig::quick().await;
    let mut connection = Connection::open(rig.address()).await;
    connection.exchange(&rig.request("GET", "/version", &[])).await.unwrap();
    let idle = Instant::now();
    connection.closed().await;
    assert!((4.5..7.0).contains(&idle.elapsed().as_secs_f64()), "{:?}", idle.elapsed());
}

#[tokio::test]
async fn the_hundredth_answer_is_the_last_of_its_connection() {
    let rig = Rig::quick().await;
    let mut connection = Connection::open(rig.address()).await;
    for number in 1..=100 {
        let answer = connection.exchange(&rig.request("GET", "/version", &[])).await.unwrap();
        assert_eq!(answer.headers.contains_key("connection"), number == 100);
    }
    connection.closed().await;
}

#[tokio::test]
async fn bodies_are_refused_where_proxmox_refuses_them() {
    let rig = Rig::quick().await;
    let token = rig.world.proxmox_token();
    let head = |line: &str, rest: &str| {
        format!("{line} HTTP/1.1\r\nHost: sim\r\nAuthorization: PVEAPIToken={token}\r\n{rest}")
    };
    let clone = "POST /api2/json/nodes/pve1/lxc/9000/clone";
    for (request, status) in [
        (head("GET /api2/json/version", "Content-Length: 3\r\n\r\na=b"), 501),
        (head("DELETE /api2/json/nodes/pve1/lxc/9000", "Content-Length: 7\r\n\r\nforce=1"), 501),
        (head(clone, "Transfer-Encoding: chunked\r\n\r\n5\r\nnewid\r\n0\r\n\r\n"), 501),
        (head(clone, "Content-Type: text/plain\r\nContent-Length: 3\r\n\r\na=b"), 506),
        (head(clone, &format!("Content-Length: {}\r\n\r\n{}", 600_000, "a".repeat(600_000))), 501),
    ] {
        let answer = Connection::open(rig.address()).await.exchange(&request).await.unwrap();
        assert_eq!(answer.status, status, "{}", request.lines().next().unwrap());
        assert!(answer.body.is_empty());
    }
    assert!(rig.container(9000).await.is_object());
}

#[tokio::test]
async fn json_bodies_are_read_like_forms() {
    let rig = Rig::quick().await;
    let token = rig.world.proxmox_token();
    let body = r#"{"newid":5001,"full":false,"hostname":"mc-1"}"#;
    let request = format!(
        "POST /api2/json/nodes/pve1/lxc/9000/clone HTTP/1.1\r\nHost: sim\r\nAuthorization: PVEAPIToken={token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = Connection::open(rig.address()).await.exchange(&request).await.unwrap();
    assert!(answer.data().as_str().unwrap().contains(":vzclone:9000:"));
}

#[tokio::test]
async fn routes_outside_the_schema_or_the_model_are_501() {
    let rig = Rig::quick().await;
    for (method, path) in [
        ("GET", "/nodes/pve1/qemu"),
        ("PATCH", "/version"),
        ("GET", "/nothing"),
        ("GET", "/nodes/pve1/lxc/9000/rrd"),
        ("POST", "/nodes/pve1/lxc/9000/migrate"),
    ] {
        let form: &[(&str, &str)] = match path.rsplit('/').next().unwrap() {
            "rrd" => &[("ds", "cpu"), ("timeframe", "hour")],
            "migrate" => &[("target", "pve2")],
            _ => &[],
        };
        let answer = rig.call(method, path, form).await;
        assert_eq!(answer.status, 501, "{method} {path}: {answer:?}");
        assert_eq!(answer.reason, format!("Method '{method} {path}' not implemented"));
    }
}

#[tokio::test]
async fn each_wrong_parameter_is_named() {
    let rig = Rig::quick().await;
    let form = [("hostname", "my_srv"), ("memory", "512"), ("full", "perhaps")];
    let answer = rig.call("POST", "/nodes/pve1/lxc/9000/clone", &form).await;
    assert_eq!((answer.status, answer.reason.as_str()), (400, "Parameter verification failed."));
    let body = answer.json();
    assert_eq!(body["message"], "Parameter verification failed.\n");
    assert_eq!(body["data"], Value::Null);
    assert_eq!(
        body["errors"],
        json!({
            "hostname": "invalid format - value does not look like a valid DNS name\n",
            "memory": "property is not defined in schema and the schema does not allow additional properties",
            "full": "type check ('boolean') failed - got 'perhaps'",
            "newid": "property is missing and it is not optional",
        })
    );
    let twice = rig.call("POST", "/nodes/pve1/lxc/9000/clone", &[("newid", "5001"), ("vmid", "9001")]).await;
    assert!(twice.json()["errors"]["vmid"].as_str().unwrap().starts_with("duplicate parameter"));
    assert_eq!(rig.executed("clone", 5001).await, 0);
}

#[tokio::test]
async fn the_path_is_decoded_once_and_the_query_wins_over_the_body() {
    let rig = Rig::quick().await;
    let upid = rig.begin("POST", "/nodes/pve1/lxc/9000/clone?newid=5001", &[("newid", "5002")]).await;
    let encoded = upid.replace(':', "%3A").replace('@', "%40").replace('!', "%21");
    assert_eq!(rig.get(&format!("/nodes/pve1/tasks/{encoded}/status")).await["upid"], upid);
    assert!(rig.container(5001).await.is_object());
    assert!(rig.container(5002).await.is_null());
}

#[tokio::test]
async fn three_blocked_callers_stall_a_node_and_half_a_minute_of_it_is_a_596() {
    let rig = Rig::scaled(0.1).await;
    rig.running(5001).await;
    rig.steer("/sim/proxmox/containers/5001", json!({"ignoresShutdown": true})).await;
    // Holds the container's lock for six seconds; a caller waits one second for it.
    rig.begin("POST", "/nodes/pve1/lxc/5001/status/shutdown", &[]).await;
    let put = || rig.call("PUT", "/nodes/pve1/lxc/5001/config", &[("cores", "2")]);
    let began = Instant::now();
    let others = async {
        let config = rig.call("GET", "/nodes/pve1/lxc/9000/config", &[]).await;
        assert!(began.elapsed() < Duration::from_millis(900), "an unprotected call needs no daemon");
        config.data();
        let elsewhere = rig.call("GET", "/nodes/pve2/lxc/9001/status/current", &[]).await;
        assert!(began.elapsed() < Duration::from_millis(900), "the other node is not stalled");
        elsewhere.data();
    };
    let (answers, ()) = futures_util::join!(futures_util::future::join_all((0..13).map(|_| put())), others);
    let timeouts = answers.iter().filter(|answer| answer.status == 500);
    assert!(timeouts.clone().all(|answer| answer.reason.ends_with("pve-config-5001.lock' - got timeout")));
    assert!(timeouts.count() >= 3);
    let gateway: Vec<_> = answers.iter().filter(|answer| answer.status == 596).collect();
    assert!(!gateway.is_empty());
    assert!(gateway.iter().all(|answer| answer.reason == "Connection timed out" && answer.body.is_empty()));
}
