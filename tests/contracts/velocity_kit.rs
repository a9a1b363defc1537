//! A world with the simulated proxy and containers that run a game.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use zpack::adapters::agent::{AgentSettings, Agents};
use zpack::adapters::slp::{PingSettings, ServerListPing};
use zpack::adapters::velocity::{Velocity, VelocitySettings};
use zpack::kernel::{Clock, DnsName, Reach, Secret, VmId};
use zpack::ports::{Agent, AgentAssignment, AgentWorkload, Ping, PingTarget, StatusPing};
use zpack::sim::{Boot, SimConfig, World};

pub const DEADLINE: Duration = Duration::from_secs(20);
pub const GAME_PORT: u16 = 25_565;

pub struct Rig {
    pub world: World,
    http: reqwest::Client,
}

impl Rig {
    pub async fn new() -> Self {
        Self::with(SimConfig::default()).await
    }

    pub async fn with(config: SimConfig) -> Self {
        let world = World::start(config).await.unwrap();
        Self { world, http: reqwest::Client::builder().no_proxy().timeout(DEADLINE).build().unwrap() }
    }

    /// The client of the bridge, with the right secret.
    pub fn proxy(&self) -> Velocity {
        self.proxy_with(&self.world.velocity().secret())
    }

    pub fn proxy_with(&self, secret: &str) -> Velocity {
        let settings = VelocitySettings {
            reach: Reach::Loopback,
            base_url: self.world.velocity_url().parse().unwrap(),
            secret: Secret::new(secret).into(),
            timeout: Duration::from_secs(3),
            cool_down: VelocitySettings::COOL_DOWN,
        };
        Velocity::new(&settings, Clock::System).unwrap()
    }

    /// A request of another client.
    pub async fn raw(&self, method: &str, path: &str, secret: Option<&str>, body: Value) -> (u16, String) {
        let url = format!("{}{path}", self.world.velocity_url());
        let mut request = self.http.request(method.parse().unwrap(), url);
        if let Some(secret) = secret {
            request = request.header("x-zpack-secret", Secret::new(secret).digest().expose());
        }
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Registers under any spelling, without our client.
    pub async fn plant(&self, name: &str, address: &str) {
        let body = json!({"server_name": name, "address": address, "port": GAME_PORT});
        let (status, text) = self.raw("POST", "/zpack/register", Some(&self.world.velocity().secret()), body).await;
        assert_eq!(status, 200, "{text}");
    }

    pub async fn control(&self, method: &str, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.world.control_url());
        let mut request = self.http.request(method.parse().unwrap(), url);
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.json().await.unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub async fn steer(&self, path: &str, body: Value) -> Value {
        self.control("POST", path, body).await
    }

    pub async fn state(&self, peer: &str) -> Value {
        self.control("GET", "/sim/state", Value::Null).await[peer].clone()
    }

    /// All registrations: name and address.
    pub async fn registered(&self) -> Vec<(String, String)> {
        let state = self.state("velocity").await;
        let servers = state["servers"].as_array().unwrap().iter();
        let text = |server: &Value, key: &str| server[key].as_str().unwrap().to_owned();
        servers.map(|server| (text(server, "name"), text(server, "address"))).collect()
    }

    /// The requests to the bridge, such as `POST /zpack/register`.
    pub async fn requests(&self) -> Vec<String> {
        let journal = self.control("GET", "/sim/journal?peer=velocity", Value::Null).await;
        let line = |entry: &Value| format!("{} {}", entry["method"].as_str().unwrap(), entry["path"].as_str().unwrap());
        journal.as_array().unwrap().iter().map(line).collect()
    }

    pub async fn until<F: Future<Output = bool>>(&self, what: &str, holds: impl Fn() -> F) {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        let waiting = async {
            while !holds().await {
                tick.tick().await;
            }
        };
        assert!(tokio::time::timeout(DEADLINE, waiting).await.is_ok(), "it never came about: {what}");
    }

    /// The client of all agents, with the right token.
    pub fn agents(&self) -> Agents {
        let settings = AgentSettings {
            reach: Reach::Loopback,
            port: self.world.agent_port(),
            token: Some(Secret::new(self.world.agent_token()).into()),
            timeout: Duration::from_secs(2),
            cool_down: AgentSettings::COOL_DOWN,
        };
        Agents::new(settings, Clock::System).unwrap()
    }

    /// Boots a container; its agent answers when this returns.
    pub async fn boot(&self, vmid: u32) -> IpAddr {
        let address = self.world.network().host(u8::try_from(vmid - 5000).unwrap() + 1);
        let boot = Boot {
            vmid,
            incarnation: 1,
            address: Some(address),
            hostname: format!("mc-{vmid}"),
            memory: 2048,
            description: String::new(),
        };
        for observer in self.world.core().observers() {
            observer.started(boot.clone()).await;
        }
        let at = IpAddr::V4(address);
        self.until("the agent answers", || async { self.agents().health(at).await.is_ok() }).await;
        at
    }

    pub async fn halt(&self, vmid: u32) {
        for observer in self.world.core().observers() {
            observer.stopped(vmid).await;
        }
    }

    /// A container with a running Minecraft server; returns its address.
    pub async fn minecraft(&self, vmid: u32) -> SocketAddr {
        let at = self.boot(vmid).await;
        self.agents().configure(at, &paper(vmid)).await.unwrap();
        let address = SocketAddr::new(at, GAME_PORT);
        self.until("the game runs", || async { matches!(ping(address, "x").await, Ping::Answered(_)) }).await;
        address
    }
}

/// A pinger with a short timeout.
pub fn pinger() -> ServerListPing {
    ServerListPing::new(PingSettings { reach: Reach::Loopback, limit: Duration::from_secs(4) })
}

pub async fn ping(address: SocketAddr, host: &str) -> Ping {
    pinger().ping(&PingTarget { address, host: host.to_owned() }).await
}

pub fn name(text: &str) -> DnsName {
    text.parse().unwrap()
}

pub fn backend(text: &str) -> SocketAddr {
    SocketAddr::new(text.parse().unwrap(), GAME_PORT)
}

fn paper(vmid: u32) -> AgentAssignment {
    AgentAssignment {
        vmid: VmId::new(i64::from(vmid)).unwrap(),
        generation: 1,
        memory_mb: 2048,
        workload: AgentWorkload::Game {
            game: "minecraft".to_owned(),
            variant: "paper".to_owned(),
            version: "1.21.1".to_owned(),
            world: "world".to_owned(),
            ports: vec![GAME_PORT],
            artifact_path: "minecraft/paper/1.21.1/server.jar".to_owned(),
            java_path: Some("java/21/OpenJDK21.tar.gz".to_owned()),
            admin_user: "op".to_owned(),
            admin_pass: Secret::new("not-shown"),
        },
    }
}
