//! The agent client against the simulated agents, both today's small one and the complete one, and against unusual
//! answers.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Value, json};
use zpack::adapters::agent::{AgentSettings, Agents};
use zpack::kernel::{Classify, Clock, Failure, Reach, Secret, VmId};
use zpack::ports::{Agent, AgentAssignment, AgentError, AgentState, AgentWorkload, WorkloadAction};
use zpack::sim::agent::AgentMode;
use zpack::sim::{Boot, SimConfig, World};

use super::scripted::{Act, Scripted, answer, unused_address};

const VMID: u32 = 5001;
const DEADLINE: Duration = Duration::from_secs(20);

struct Rig {
    world: World,
    agents: Agents,
    at: IpAddr,
}

impl Rig {
    async fn new(agent_mode: AgentMode) -> Self {
        let config = SimConfig { agent_mode, time_scale: 0.01, ..SimConfig::default() };
        let world = World::start(config).await.unwrap();
        let address = world.network().host(2);
        let boot = Boot {
            vmid: VMID,
            incarnation: 1,
            address: Some(address),
            hostname: "mc-1".to_owned(),
            memory: 2048,
            description: String::new(),
        };
        for observer in world.core().observers() {
            observer.started(boot.clone()).await;
        }
        let agents = agents_at(world.agent_port(), world.agent_token());
        let rig = Self { world, agents, at: IpAddr::V4(address) };
        rig.until(|rig| async { rig.agents.health(rig.at).await.is_ok() }).await;
        rig
    }

    async fn until<'a, F: Future<Output = bool>>(&'a self, holds: impl Fn(&'a Self) -> F) {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        tokio::time::timeout(DEADLINE, async {
            while !holds(self).await {
                tick.tick().await;
            }
        })
        .await
        .expect("it never came about");
    }

    async fn until_state(&self, state: AgentState) {
        self.until(|rig| async { rig.agents.status(rig.at).await.unwrap().state == state }).await;
    }

    async fn levers(&self, body: Value) {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/sim/agents/{VMID}", self.world.control_url());
        assert!(http.post(url).json(&body).send().await.unwrap().status().is_success());
    }
}

fn agents_at(port: u16, token: &str) -> Agents {
    let settings = AgentSettings {
        reach: Reach::Loopback,
        port,
        token: Some(Secret::new(token).into()),
        timeout: Duration::from_secs(2),
        cool_down: AgentSettings::COOL_DOWN,
    };
    Agents::new(settings, Clock::System).unwrap()
}

fn agents(server: &Scripted) -> Agents {
    agents_at(server.address.port(), "agent-token")
}

fn at(server: &Scripted) -> IpAddr {
    server.address.ip()
}

fn paper(generation: u32) -> AgentAssignment {
    AgentAssignment {
        vmid: VmId::new(i64::from(VMID)).unwrap(),
        generation,
        memory_mb: 2048,
        workload: AgentWorkload::Game {
            game: "minecraft".to_owned(),
            variant: "paper".to_owned(),
            version: "1.21.1".to_owned(),
            world: "world".to_owned(),
            ports: vec![25565],
            artifact_path: "minecraft/paper/1.21.1/server.jar".to_owned(),
            java_path: Some("java/21/OpenJDK21.tar.gz".to_owned()),
            admin_user: "op".to_owned(),
            admin_pass: Secret::new("hunter2"),
        },
    }
}

#[tokio::test]
async fn both_agents_install_start_and_stop_a_server() {
    for mode in AgentMode::ALL {
        let rig = Rig::new(*mode).await;
        assert_eq!(rig.agents.status(rig.at).await.unwrap().state, AgentState::Idle);
        rig.agents.configure(rig.at, &paper(1)).await.unwrap();
        rig.until_state(AgentState::Running).await;
        rig.agents.configure(rig.at, &paper(1)).await.unwrap();
        rig.until(|rig| async { rig.agents.ready(rig.at).await.unwrap() }).await;
        rig.agents.power(rig.at, WorkloadAction::Stop).await.unwrap();
        rig.until(|rig| async { !rig.agents.ready(rig.at).await.unwrap() }).await;
        rig.until(|rig| async { rig.agents.power(rig.at, WorkloadAction::Start).await.is_ok() }).await;
        rig.until_state(AgentState::Running).await;
        rig.agents.power(rig.at, WorkloadAction::Restart).await.unwrap();
        rig.until_state(AgentState::Running).await;
        rig.world.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn the_message_of_a_failed_install_is_reported() {
    let rig = Rig::new(AgentMode::Full).await;
    rig.levers(json!({ "state": "error", "error": "no such version" })).await;
    let report = rig.agents.status(rig.at).await.unwrap();
    assert_eq!((report.state, report.error.as_deref()), (AgentState::Error, Some("no such version")));
    rig.world.shutdown().await.unwrap();
}

#[tokio::test]
async fn refusals_of_the_simulated_agent_are_classified() {
    let rig = Rig::new(AgentMode::Full).await;
    let wrong = agents_at(rig.world.agent_port(), "wrong");
    let error = wrong.status(rig.at).await.unwrap_err();
    assert!(matches!(error, AgentError::Unauthorized { .. }), "{error}");

    let error = rig.agents.power(rig.at, WorkloadAction::Start).await.unwrap_err();
    assert!(matches!(error, AgentError::Refused { status: 409, .. }), "nothing is installed: {error}");

    rig.agents.configure(rig.at, &paper(2)).await.unwrap();
    let error = rig.agents.configure(rig.at, &paper(3)).await.unwrap_err();
    assert!(matches!(error, AgentError::Busy { .. }), "an install is running: {error}");
    assert_eq!(error.failure(), Failure::Busy);

    rig.levers(json!({ "hang": true })).await;
    let error = rig.agents.status(rig.at).await.unwrap_err();
    assert!(matches!(error, AgentError::NoAnswer { .. }), "{error}");
    rig.world.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_missing_agent_is_reported_as_unreachable() {
    let address = unused_address().await;
    let error = agents_at(address.port(), "agent-token").configure(address.ip(), &paper(1)).await.unwrap_err();
    assert!(matches!(error, AgentError::Unreachable { .. }), "{error}");
    assert_eq!(error.failure(), Failure::Transient);
}

#[tokio::test]
async fn the_token_is_sent_with_every_call_in_the_header_only() {
    let server = Scripted::always("202 Accepted", r#"{"state":"idle"}"#).await;
    let (agents, at) = (agents(&server), at(&server));
    agents.health(at).await.unwrap();
    agents.ready(at).await.unwrap();
    agents.status(at).await.unwrap();
    agents.configure(at, &paper(1)).await.unwrap();
    agents.power(at, WorkloadAction::Stop).await.unwrap();
    let seen = server.seen();
    let calls: Vec<_> = seen.iter().map(|seen| format!("{} {}", seen.method, seen.target)).collect();
    assert_eq!(calls, ["GET /health", "GET /ready", "GET /status", "POST /config", "POST /stop"]);
    assert!(seen.iter().all(|seen| seen.header("authorization") == Some("Bearer agent-token")));

    let sent: Value = serde_json::from_str(&seen[3].body).unwrap();
    let expected = json!({
        "vmid": VMID, "generation": 1, "memory_mb": 2048, "container_type": "game", "game": "minecraft",
        "variant": "paper", "version": "1.21.1", "world": "world", "ports": [25565],
        "artifact_path": "minecraft/paper/1.21.1/server.jar", "java_path": "java/21/OpenJDK21.tar.gz",
        "admin_user": "op", "admin_pass": "hunter2",
    });
    assert_eq!(sent, expected);
    let printed = format!("{:?} {agents:?}", paper(1));
    assert!(!printed.contains("hunter2") && !printed.contains("agent-token"), "{printed}");
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_is_sent_once() {
    for act in [Act::Reset, Act::SendAndClose(b"HTTP/1.1 202 Accepted\r\nContent-Length: 9\r\n\r\n{".to_vec())] {
        let server = Scripted::start(move |_, _| act.clone()).await;
        let error = agents(&server).configure(at(&server), &paper(1)).await.unwrap_err();
        assert!(matches!(error, AgentError::NoAnswer { .. }), "{error}");
        assert_eq!(error.failure(), Failure::Ambiguous);
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn an_agent_without_the_ready_route_is_unsupported() {
    let server = Scripted::always("404 Not Found", "404 page not found").await;
    let error = agents(&server).ready(at(&server)).await.unwrap_err();
    assert!(matches!(error, AgentError::Unsupported { .. }), "{error}");
    let server = Scripted::always("503 Service Unavailable", "starting").await;
    assert!(!agents(&server).ready(at(&server)).await.unwrap());
}

#[tokio::test]
async fn an_oversized_or_malformed_status_is_an_error() {
    let long = format!(r#"{{"state":"running","x":"{}"}}"#, "x".repeat(64 << 10));
    for body in [long.as_str(), "running", ""] {
        let bytes = answer("200 OK", body);
        let server = Scripted::start(move |_, _| Act::Send(bytes.clone())).await;
        assert!(agents(&server).status(at(&server)).await.is_err(), "{} bytes", body.len());
    }
}

#[tokio::test]
async fn reads_use_one_connection_until_the_agent_closes_it() {
    let server = Scripted::start(move |number, _| match number {
        3 => Act::SendAndClose(answer("200 OK", r#"{"state":"idle"}"#)),
        // Closed by the agent when the request arrives, as a connection that was idle for long.
        6 => Act::Reset,
        _ => Act::Send(answer("200 OK", r#"{"state":"idle"}"#)),
    })
    .await;
    let agents = agents(&server).keeping(Duration::from_secs(600));
    for _ in 0..8 {
        assert_eq!(agents.status(at(&server)).await.unwrap().state, AgentState::Idle);
    }
    let connections: Vec<usize> = server.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 0, 0, 0, 1, 1, 1, 2, 2]);
}

#[tokio::test]
async fn a_connection_is_closed_when_the_agent_says_so_or_sends_more_than_its_answer() {
    let body = r#"{"state":"idle"}"#;
    let announced = format!("HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 16\r\n\r\n{body}");
    let old = format!("HTTP/1.0 200 OK\r\nContent-Length: 16\r\n\r\n{body}");
    let more = format!("HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{body}HTTP/1.1 200 OK\r\n");
    let chunked = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{body}\r\n0\r\n\r\n");
    for (bytes, expected) in [(announced, 1), (old, 1), (more, 1), (chunked, 0)] {
        let server = Scripted::start(move |_, _| Act::Send(bytes.clone().into_bytes())).await;
        let agents = agents(&server);
        for _ in 0..2 {
            assert_eq!(agents.status(at(&server)).await.unwrap().state, AgentState::Idle);
        }
        assert_eq!(server.seen()[1].connection, expected);
    }
}
