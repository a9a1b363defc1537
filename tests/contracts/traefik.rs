//! The document for Traefik, and the simulated Traefik that polls it (docs/contracts/edge.md E2, case 13).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::AbortHandle;
use zpack::edge::{TraefikDocument, TraefikRoute, Transport};
use zpack::sim::SimConfig;

use super::scripted::{Act, Scripted, answer};
use super::velocity_kit::{DEADLINE, Rig};

/// What the endpoint answers; can be changed while it is polled.
type Script = Arc<Mutex<Act>>;

fn good(document: &str) -> Act {
    Act::Send(answer("200 OK", document))
}

/// A world whose Traefik polls the endpoint of `script`.
async fn polled(rig: &Rig, act: Act) -> (Scripted, Script) {
    let script: Script = Arc::new(Mutex::new(act));
    let acts = script.clone();
    let server = Scripted::start(move |_, _| acts.lock().unwrap().clone()).await;
    let mut url = server.url();
    url.set_path("/internal/traefik/config");
    rig.steer("/sim/traefik/provider", json!({"url": url, "token": "the internal token"})).await;
    (server, script)
}

async fn until_state(rig: &Rig, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    rig.until(what, || async { holds(&rig.state("traefik").await) }).await;
    rig.state("traefik").await
}

fn route(transport: Transport, port: u16, host: &str, backend: SocketAddr) -> TraefikRoute {
    TraefikRoute { transport, port, host: host.parse().unwrap(), backend }
}

fn document(routes: &[TraefikRoute]) -> String {
    TraefikDocument::of(routes).text().to_owned()
}

/// A game that answers every datagram with its name.
struct UdpGame {
    address: SocketAddr,
    task: AbortHandle,
}

impl UdpGame {
    async fn start(name: &'static str) -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut buffer = [0; 64];
            while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
                let said = format!("{name}:{}", String::from_utf8_lossy(&buffer[..length]));
                socket.send_to(said.as_bytes(), client).await.unwrap();
            }
        });
        Self { address, task: task.abort_handle() }
    }
}

impl Drop for UdpGame {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The answer of an entry point; repeated, because datagrams are lost while it opens.
async fn ask_udp(address: SocketAddr, word: &str) -> String {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    let asking = async {
        let mut buffer = [0; 64];
        loop {
            let _ = socket.send_to(word.as_bytes(), address).await;
            if let Ok(Ok(length)) = tokio::time::timeout(Duration::from_millis(200), socket.recv(&mut buffer)).await {
                return String::from_utf8(buffer[..length].to_vec()).unwrap();
            }
        }
    };
    tokio::time::timeout(DEADLINE, asking).await.expect("nothing came back")
}

#[tokio::test]
async fn two_servers_of_a_game_are_reached_on_different_ports() {
    let rig = Rig::new().await;
    let (first, second) = (UdpGame::start("first").await, UdpGame::start("second").await);
    let tcp = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let routes = [
        route(Transport::Udp, 50_000, "valheim-5001", first.address),
        route(Transport::Udp, 50_001, "valheim-5002", second.address),
        route(Transport::Tcp, 50_001, "valheim-5002", tcp.local_addr().unwrap()),
    ];
    let _polled = polled(&rig, good(&document(&routes))).await;
    let state = until_state(&rig, "three routes", |state| state["routes"].as_array().unwrap().len() == 3).await;
    assert_eq!((&state["warnings"], &state["routes"][0]["error"]), (&json!([]), &Value::Null), "{state}");
    let at = |port| SocketAddr::from((rig.world.network().gateway(), port));
    assert_eq!(ask_udp(at(50_000), "hello").await, "first:hello");
    assert_eq!(ask_udp(at(50_001), "hello").await, "second:hello");

    let echo = tokio::spawn(async move {
        let (mut stream, _) = tcp.accept().await.unwrap();
        let mut word = [0; 5];
        stream.read_exact(&mut word).await.unwrap();
        stream.write_all(&word).await.unwrap();
    });
    let mut stream = TcpStream::connect(at(50_001)).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut back = String::new();
    tokio::time::timeout(DEADLINE, stream.read_to_string(&mut back)).await.unwrap().unwrap();
    assert_eq!(back, "hello");
    echo.await.unwrap();
}

#[tokio::test]
async fn only_changed_bytes_are_applied_and_an_empty_document_removes_all() {
    let rig = Rig::new().await;
    let game = UdpGame::start("game").await;
    let one = [route(Transport::Udp, 50_000, "rust-5001", game.address)];
    let (_server, script) = polled(&rig, good(&document(&one))).await;
    let state = until_state(&rig, "many polls", |state| state["polls"].as_u64() > Some(5)).await;
    assert_eq!((&state["applied"], &state["failures"]), (&json!(1), &json!(0)), "{state}");
    assert_eq!(ask_udp(rig.world.traefik().entry_address(50_000), "x").await, "game:x");

    let moved = UdpGame::start("moved").await;
    *script.lock().unwrap() = good(&document(&[route(Transport::Udp, 50_000, "rust-5001", moved.address)]));
    until_state(&rig, "the move", |state| state["applied"] == 2).await;
    assert_eq!(ask_udp(rig.world.traefik().entry_address(50_000), "x").await, "moved:x");

    *script.lock().unwrap() = good(&document(&[]));
    until_state(&rig, "nothing left", |state| state["routes"] == json!([])).await;
}

#[tokio::test]
async fn an_error_of_any_kind_keeps_the_last_configuration() {
    let rig = Rig::new().await;
    let game = UdpGame::start("game").await;
    let routes = document(&[route(Transport::Udp, 50_000, "rust-5001", game.address)]);
    let (_server, script) = polled(&rig, good(&routes)).await;
    until_state(&rig, "the route", |state| state["applied"] == 1).await;
    let half = answer("200 OK", &routes);
    for act in [
        Act::Send(answer("503 Service Unavailable", "{}")),
        Act::Send(answer("500 Internal Server Error", "")),
        Act::Send(answer("401 Unauthorized", "{}")),
        Act::Send(answer("200 OK", "<html>502</html>")),
        Act::Send(answer("200 OK", "[]")),
        Act::SendAndClose(half[..half.len() - 40].to_vec()),
        Act::Reset,
    ] {
        let before = rig.state("traefik").await["failures"].as_u64().unwrap();
        *script.lock().unwrap() = act.clone();
        let failed = |state: &Value| state["failures"].as_u64().unwrap() > before && !state["lastError"].is_null();
        let state = until_state(&rig, "the error", failed).await;
        assert_eq!((&state["applied"], state["routes"].as_array().unwrap().len()), (&json!(1), 1), "{act:?}: {state}");
        assert_eq!(ask_udp(rig.world.traefik().entry_address(50_000), "x").await, "game:x");
        *script.lock().unwrap() = good(&routes);
        until_state(&rig, "the recovery", |state| state["lastError"].is_null()).await;
    }
}

#[tokio::test]
async fn the_token_goes_in_a_header_and_is_not_shown() {
    let rig = Rig::new().await;
    let (server, _script) = polled(&rig, good("{}")).await;
    until_state(&rig, "a poll", |state| state["polls"].as_u64() > Some(0)).await;
    let seen = server.seen();
    assert_eq!((seen[0].target.as_str(), seen[0].method.as_str()), ("/internal/traefik/config", "GET"));
    assert!(seen.iter().all(|seen| seen.header("authorization") == Some("Bearer the internal token")));
    let state = rig.state("traefik").await;
    assert_eq!(state["provider"]["token"], "***", "{state}");
}

#[tokio::test]
async fn two_routers_on_one_entry_point_steal_each_others_players() {
    let rig = Rig::new().await;
    let (first, second) = (UdpGame::start("first").await, UdpGame::start("second").await);
    let service = |game: &UdpGame| json!({"loadBalancer": {"servers": [{"address": game.address.to_string()}]}});
    let router = |service: &str| json!({"entryPoints": ["p50000u"], "service": service});
    let shared = json!({"udp": {
        "routers": {"a": router("a"), "b": router("b"), "c": {"entryPoints": ["valheim"], "service": "a"}},
        "services": {"a": service(&first), "b": service(&second)},
    }});
    let _polled = polled(&rig, good(&shared.to_string())).await;
    let state = until_state(&rig, "the routes", |state| state["applied"] == 1).await;
    assert_eq!(state["warnings"].as_array().unwrap().len(), 2, "{state}");
    assert_eq!(ask_udp(rig.world.traefik().entry_address(50_000), "x").await, "second:x");
}

#[tokio::test]
async fn after_a_restart_traefik_polls_again() {
    let folder = tempfile::tempdir().unwrap();
    let config = SimConfig { state_file: Some(folder.path().join("sim.json")), ..SimConfig::default() };
    let rig = Rig::with(config.clone()).await;
    let game = UdpGame::start("game").await;
    let routes = document(&[route(Transport::Udp, 50_000, "rust-5001", game.address)]);
    let (_server, script) = polled(&rig, good(&routes)).await;
    until_state(&rig, "the route", |state| state["applied"] == 1).await;
    *script.lock().unwrap() = Act::Send(answer("503 Service Unavailable", ""));
    rig.steer("/sim/traefik/restart", Value::Null).await;
    let state = until_state(&rig, "the error", |state| !state["lastError"].is_null()).await;
    assert_eq!(state["routes"], json!([]), "a restarted Traefik has nothing to fall back on");
    rig.world.shutdown().await.unwrap();

    *script.lock().unwrap() = good(&routes);
    let rig = Rig::with(config).await;
    until_state(&rig, "the route", |state| state["routes"].as_array().unwrap().len() == 1).await;
    assert_eq!(ask_udp(rig.world.traefik().entry_address(50_000), "x").await, "game:x");
}
