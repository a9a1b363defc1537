//! The simulated Velocity against docs/contracts/edge.md C and G: the bridge's HTTP interface, its callbacks, its ping
//! in both modes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zpack::ports::{GameProxy, Ping};
use zpack::sim::{SimConfig, World};

use super::scripted::Scripted;
use super::velocity_kit::{DEADLINE, GAME_PORT, Rig, backend, name, ping};

fn version(ping: Ping) -> String {
    match ping {
        Ping::Answered(report) => report.version.unwrap(),
        other => panic!("no status: {other:?}"),
    }
}

#[tokio::test]
async fn the_bridge_requires_the_secret_for_everything_but_the_list() {
    let rig = Rig::new().await;
    let server = json!({"server_name": "a.b", "address": "10.0.0.1", "port": GAME_PORT});
    for (method, path, body) in [
        ("POST", "/zpack/register", server.clone()),
        ("POST", "/zpack/unregister", json!({"server_name": "a.b"})),
        ("GET", "/zpack/status", Value::Null),
    ] {
        for secret in [None, Some("wrong")] {
            assert_eq!(rig.raw(method, path, secret, body.clone()).await.0, 401, "{path}");
        }
    }
    assert_eq!(rig.raw("GET", "/zpack/list", None, Value::Null).await, (200, r#"{"servers":[]}"#.to_owned()));
    let secret = rig.world.velocity().secret();
    let ask = async |method, path, body| rig.raw(method, path, Some(&secret), body).await.0;
    assert_eq!(ask("POST", "/zpack/register", json!({"server_name": "a.b"})).await, 400);
    assert_eq!(ask("POST", "/zpack/register", server.clone()).await, 200);
    assert_eq!(ask("POST", "/zpack/register", server).await, 200);
    let other = json!({"server_name": "A.b", "address": "10.0.0.1", "port": GAME_PORT});
    let (status, text) = rig.raw("POST", "/zpack/register", Some(&secret), other).await;
    assert!(status == 409 && text.contains("IllegalArgumentException"), "{status} {text}");
    assert_eq!(ask("POST", "/zpack/unregister", json!({"server_name": "A.B"})).await, 404);
    assert_eq!(ask("POST", "/zpack/unregister", json!({"server_name": "a.b"})).await, 200);
    assert_eq!(ask("GET", "/zpack/nothing", Value::Null).await, 404);
    let journal = rig.control("GET", "/sim/journal?peer=velocity", Value::Null).await;
    assert_eq!((&journal[0]["authorization"], &journal[1]["authorization"]), (&json!(false), &json!(true)));
    assert!(!journal.to_string().contains(&secret));
}

#[tokio::test]
async fn registrations_survive_the_simulator_but_not_the_proxy() {
    let folder = tempfile::tempdir().unwrap();
    let config = SimConfig { state_file: Some(folder.path().join("sim.json")), ..SimConfig::default() };
    let rig = Rig::with(config.clone()).await;
    rig.plant("a.b", "10.0.0.1").await;
    let places = |world: &World| (world.velocity_url(), world.velocity().secret(), world.velocity().game_address());
    let (before, boot_id) = (places(&rig.world), rig.state("velocity").await["bootId"].clone());
    rig.world.shutdown().await.unwrap();

    let rig = Rig::with(config).await;
    assert_eq!(places(&rig.world), before);
    assert_eq!((rig.state("velocity").await["bootId"].clone(), rig.registered().await.len()), (boot_id.clone(), 1));
    rig.steer("/sim/velocity/restart", Value::Null).await;
    assert!(rig.registered().await.is_empty());
    assert_ne!(rig.state("velocity").await["bootId"], boot_id);
}

/// The statuses of the received callbacks, with their server names.
fn received(server: &Scripted) -> Vec<(String, String)> {
    let text = |body: &Value, key: &str| body[key].as_str().unwrap().to_owned();
    let bodies = server.seen().into_iter().map(|seen| serde_json::from_str::<Value>(&seen.body).unwrap());
    bodies.map(|body| (text(&body, "server_name"), text(&body, "status"))).collect()
}

#[tokio::test]
async fn the_proxy_reports_registrations_and_pings() {
    let rig = Rig::new().await;
    let server = Scripted::always("202 Accepted", "").await;
    rig.steer("/sim/velocity/callbacks", json!({"url": server.url(), "token": "the internal token"})).await;
    let game = rig.minecraft(5001).await;
    rig.proxy().register(&name("mc-1.play.test"), game).await.unwrap();
    rig.proxy().register(&name("mc-2.play.test"), backend("127.0.0.1")).await.unwrap();
    let has = |server: &Scripted, name: &str, status: &str| {
        received(server).contains(&(format!("{name}.play.test"), status.to_owned()))
    };
    rig.until("all four", || async {
        ["mc-1", "mc-2"].iter().all(|name| has(&server, name, "registered_with_proxy"))
            && has(&server, "mc-1", "proxy_ping_ok")
            && has(&server, "mc-2", "proxy_ping_failed")
    })
    .await;
    let secret = zpack::kernel::Secret::new(rig.world.velocity().secret()).digest();
    for seen in server.seen() {
        assert_eq!(seen.header("x-zpack-secret"), Some(secret.expose()));
        assert_eq!(seen.header("authorization"), Some("Bearer the internal token"));
        let body: Value = serde_json::from_str(&seen.body).unwrap();
        assert!(body["boot_id"].is_string() && body["at"].is_string() && body["port"] == GAME_PORT, "{body}");
    }
    let state = rig.state("velocity").await;
    assert!(!state.to_string().contains("the internal token"));
    assert!(state["servers"][0]["last_ping"]["latency_ms"].is_u64(), "{state}");
}

#[tokio::test]
async fn planned_callback_faults_duplicate_reorder_delay_and_drop() {
    let rig = Rig::new().await;
    let server = Scripted::always("202 Accepted", "").await;
    let send = async |number: u32| {
        rig.steer(
            "/sim/velocity/callbacks/send",
            json!({"server_name": number.to_string(), "status": "proxy_ping_ok"}),
        )
        .await;
    };
    let numbers = || received(&server).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let plan = async |mut settings: Value| {
        settings["url"] = json!(server.url());
        rig.steer("/sim/velocity/callbacks", settings).await;
    };
    plan(json!({"duplicates": 1})).await;
    send(1).await;
    rig.until("both", || async { numbers() == ["1", "1"] }).await;
    plan(json!({"drop": 1})).await;
    send(2).await;
    send(3).await;
    rig.until("the second", || async { numbers() == ["1", "1", "3"] }).await;
    plan(json!({"reorder": true})).await;
    send(4).await;
    send(5).await;
    send(6).await;
    rig.until("the order", || async { numbers() == ["1", "1", "3", "5", "4", "6"] }).await;
    plan(json!({"delayMs": 200})).await;
    let begun = Instant::now();
    send(7).await;
    rig.until("the late one", || async { numbers().len() == 7 }).await;
    assert!(begun.elapsed() >= Duration::from_millis(200));
    let sent = rig.state("velocity").await["callbacks"]["sent"].clone();
    let dropped: Vec<_> = sent.as_array().unwrap().iter().filter(|sent| sent["dropped"] == true).collect();
    assert_eq!((dropped.len(), &dropped[0]["body"]["server_name"]), (1, &json!("2")));
}

#[tokio::test]
async fn a_ping_at_the_proxy_proves_a_server_only_if_passed_through() {
    let rig = Rig::new().await;
    let game = rig.minecraft(5001).await;
    let door = rig.world.velocity().game_address();
    rig.proxy().register(&name("mc-1.play.test"), game).await.unwrap();
    rig.proxy().register(&name("gone.play.test"), backend("127.0.0.1")).await.unwrap();
    for host in ["mc-1.play.test", "gone.play.test", "nobody.play.test"] {
        assert!(version(ping(door, host).await).starts_with("Velocity "), "{host}");
    }
    rig.steer("/sim/velocity", json!({"ping": "passthrough"})).await;
    for host in ["mc-1.play.test", "MC-1.Play.Test.", "mc-1.play.test\0FML2\0"] {
        assert_eq!(version(ping(door, host).await), "paper 1.21.1", "{host}");
    }
    for host in ["gone.play.test", "nobody.play.test"] {
        assert!(version(ping(door, host).await).starts_with("Velocity "), "{host}");
    }
}

#[tokio::test]
async fn a_container_answers_on_its_game_port_while_its_game_runs() {
    let rig = Rig::new().await;
    let at = rig.boot(5002).await;
    let address = std::net::SocketAddr::new(at, GAME_PORT);
    assert!(matches!(ping(address, "x").await, Ping::Unreachable { .. }), "nothing is installed");
    let first = rig.minecraft(5001).await;
    let Ping::Answered(report) = ping(first, "mc-1.play.test").await else { panic!("no status") };
    assert_eq!((report.max, report.online, report.protocol), (Some(20), Some(0), Some(767)));
    assert_eq!(report.description.as_deref(), Some("A Minecraft Server"));

    rig.steer("/sim/agents/5001", json!({"players": 3})).await;
    let Ping::Answered(report) = ping(first, "x").await else { panic!("no status") };
    assert_eq!(report.online, Some(3));

    rig.steer("/sim/agents/5001", json!({"state": "stopped"})).await;
    rig.until("the port is closed", || async { matches!(ping(first, "x").await, Ping::Unreachable { .. }) }).await;
    rig.steer("/sim/agents/5001", json!({"state": "running"})).await;
    rig.until("it is open", || async { matches!(ping(first, "x").await, Ping::Answered(_)) }).await;
    rig.halt(5001).await;
    rig.until("it is closed", || async { matches!(ping(first, "x").await, Ping::Unreachable { .. }) }).await;
}

#[tokio::test]
async fn a_server_with_enable_status_false_accepts_and_sends_nothing() {
    let rig = Rig::new().await;
    let game = rig.minecraft(5001).await;
    let url = format!("http://{}:{}/files/content?path=server.properties", game.ip(), rig.world.agent_port());
    let http = reqwest::Client::builder().no_proxy().timeout(DEADLINE).build().unwrap();
    let write = http.put(url).bearer_auth(rig.world.agent_token()).body("motd=x\nenable-status=false\n");
    let written = write.send().await.unwrap();
    assert!(written.status().is_success(), "{}", written.text().await.unwrap());
    assert_eq!(ping(game, "x").await, Ping::Silent);
}
