//! A token is replaced at a peer and in its file while the clients run: the five clients against their simulated peers.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use zpack::adapters::agent::{AgentSettings, Agents};
use zpack::adapters::cloudflare::{Cloudflare, CloudflareSettings};
use zpack::adapters::proxmox::{Proxmox, ProxmoxSettings};
use zpack::adapters::technitium::{Technitium, TechnitiumSettings};
use zpack::adapters::velocity::{Velocity, VelocitySettings};
use zpack::kernel::{Clock, Reach, Secret, StoredSecret, Timestamp};
use zpack::ports::{Agent, AgentError, DnsZone, GameProxy, Hypervisor, HypervisorError, ProxyError, ZoneError};
use zpack::sim::agent::AgentMode;
use zpack::sim::{Boot, SimConfig};

use super::proxmox_kit;
use super::zone_kit::{Rig, ZONE};
use crate::support::logs::Logs;

const COOL_DOWN: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(10);

/// The result of a call, as far as the token is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Accepted,
    /// The peer refused the token, or the client did not send it because of an earlier refusal.
    Refused,
}

/// A client of one peer.
#[async_trait]
trait Client: Send + Sync {
    async fn call(&self) -> End;
}

#[async_trait]
impl Client for Proxmox {
    async fn call(&self) -> End {
        match self.version().await {
            Ok(_) => End::Accepted,
            Err(HypervisorError::Unauthorized { .. }) => End::Refused,
            Err(error) => panic!("{error}"),
        }
    }
}

#[async_trait]
impl Client for Velocity {
    async fn call(&self) -> End {
        match self.list().await {
            Ok(_) => End::Accepted,
            Err(ProxyError::Unauthorized { .. }) => End::Refused,
            Err(error) => panic!("{error}"),
        }
    }
}

#[async_trait]
impl Client for (Agents, IpAddr) {
    async fn call(&self) -> End {
        match self.0.status(self.1).await {
            Ok(_) => End::Accepted,
            Err(AgentError::Unauthorized { .. } | AgentError::KeptBack { .. }) => End::Refused,
            Err(error) => panic!("{error}"),
        }
    }
}

#[async_trait]
impl Client for Cloudflare {
    async fn call(&self) -> End {
        of_a_zone(self).await
    }
}

#[async_trait]
impl Client for Technitium {
    async fn call(&self) -> End {
        of_a_zone(self).await
    }
}

async fn of_a_zone(zone: &dyn DnsZone) -> End {
    match zone.list().await {
        Ok(_) => End::Accepted,
        Err(ZoneError::Unauthorized { .. }) => End::Refused,
        Err(error) => panic!("{error}"),
    }
}

/// The peers, by their names in the simulator.
const PEERS: [&str; 5] = ["proxmox", "velocity", "agent", "cloudflare", "technitium"];
const VMID: u32 = 5001;

/// A simulated peer, its client, and the file with the client's token.
struct Scene {
    peer: &'static str,
    rig: Rig,
    client: Box<dyn Client>,
    clock: Clock,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn of(peer: &'static str) -> Self {
        let config = SimConfig { agent_mode: AgentMode::Full, time_scale: 0.001, ..SimConfig::default() };
        let (rig, folder) = (Rig::with(config).await, tempfile::tempdir().unwrap());
        let (file, clock) = (folder.path().join("token"), Clock::fixed(Timestamp::from_millis(1_800_000_000_000)));
        let world = &rig.world;
        let first = match peer {
            "proxmox" => world.proxmox_token(),
            "velocity" => world.velocity().secret(),
            "agent" => world.agent_token().to_owned(),
            "cloudflare" => world.cloudflare().token(),
            _ => world.technitium().token(),
        };
        std::fs::write(&file, &first).unwrap();
        let token = StoredSecret::in_file(Secret::new(first), &file);
        let (zone, timeout, cool_down) = (ZONE.parse().unwrap(), TIMEOUT, COOL_DOWN);
        let client: Box<dyn Client> = match peer {
            "proxmox" => {
                let mut settings: ProxmoxSettings = proxmox_kit::settings([world.proxmox_url().parse().unwrap()]);
                settings.token = token;
                settings.deadlines.cool_down = cool_down;
                Box::new(Proxmox::new(&settings, clock.clone()).unwrap())
            }
            "velocity" => {
                let base_url = world.velocity_url().parse().unwrap();
                let settings = VelocitySettings { reach: Reach::Loopback, base_url, secret: token, timeout, cool_down };
                Box::new(Velocity::new(&settings, clock.clone()).unwrap())
            }
            "agent" => {
                let settings = AgentSettings {
                    reach: Reach::Loopback,
                    port: world.agent_port(),
                    token: Some(token),
                    timeout,
                    cool_down,
                };
                let agents = Agents::new(settings, clock.clone()).unwrap();
                let address = boot(&rig, VMID, 2).await;
                while agents.health(address).await.is_err() {
                    tokio::task::yield_now().await;
                }
                Box::new((agents, address))
            }
            "cloudflare" => {
                let base_url = world.cloudflare_url().parse().unwrap();
                let zone_id = world.cloudflare().zone_id();
                let settings =
                    CloudflareSettings { reach: Reach::Loopback, base_url, token, zone_id, zone, timeout, cool_down };
                Box::new(Cloudflare::new(settings, clock.clone()).unwrap())
            }
            _ => {
                let base_url = world.technitium_url().parse().unwrap();
                let settings = TechnitiumSettings { reach: Reach::Loopback, base_url, token, zone, timeout, cool_down };
                Box::new(Technitium::new(settings, clock.clone()).unwrap())
            }
        };
        Self { peer, rig, client, clock, file, _folder: folder }
    }

    /// Makes the peer accept a new token and refuse the old one.
    async fn rotate_at_the_peer(&self) -> String {
        let made = |answer: Value| answer["token"].as_str().unwrap().to_owned();
        match self.peer {
            "proxmox" => {
                let acl = json!([{ "path": "/", "privileges": ["VM.Audit", "Sys.Audit"] }]);
                let token = self.rig.steer("/sim/proxmox/tokens", json!({ "id": "zpack@pve!new", "acl": acl })).await;
                self.rig.control("DELETE", "/sim/proxmox/tokens/zpack@pve!ctl", Value::Null).await;
                made(token)
            }
            "velocity" => {
                let secret = "the secret that comes next";
                self.rig.steer("/sim/velocity", json!({ "secrets": [secret] })).await;
                secret.to_owned()
            }
            "agent" => {
                let token = "the token that comes next";
                self.rig.steer(&format!("/sim/agents/{VMID}"), json!({ "token": token })).await;
                token.to_owned()
            }
            dns => {
                self.rig.control("DELETE", &format!("/sim/{dns}/tokens"), Value::Null).await;
                made(self.rig.steer(&format!("/sim/{dns}/tokens"), json!({})).await)
            }
        }
    }

    fn write(&self, token: &str) {
        std::fs::write(&self.file, format!("{token}\n")).unwrap();
    }

    /// Requests that arrived at the peer for one call: Technitium is sent a token in both ways.
    async fn arrived(&self) -> usize {
        let journal = self.rig.journal(self.peer).await;
        journal.iter().filter(|entry| entry["path"] != "/health").count()
    }

    /// Requests of one call with a wrong token.
    fn requests_of_a_refusal(&self) -> usize {
        if self.peer == "technitium" { 2 } else { 1 }
    }

    async fn eight(&self) -> Vec<End> {
        futures_util::future::join_all((0..8).map(|_| self.client.call())).await
    }
}

async fn boot(rig: &Rig, vmid: u32, host: u8) -> IpAddr {
    let address = rig.world.network().host(host);
    let boot = Boot {
        vmid,
        incarnation: 1,
        address: Some(address),
        hostname: format!("mc-{vmid}"),
        memory: 2048,
        description: String::new(),
    };
    for observer in rig.world.core().observers() {
        observer.started(boot.clone()).await;
    }
    IpAddr::V4(address)
}

#[tokio::test]
async fn a_new_token_in_the_file_is_used_by_the_next_call() {
    for peer in PEERS {
        let scene = Scene::of(peer).await;
        assert_eq!(scene.client.call().await, End::Accepted, "{peer}");
        let next = scene.rotate_at_the_peer().await;
        scene.write(&next);
        let before = scene.arrived().await;
        assert_eq!(scene.client.call().await, End::Accepted, "{peer}");
        let expected = scene.requests_of_a_refusal() + 1;
        assert_eq!(scene.arrived().await - before, expected, "{peer}: the old one, then the new one");
        assert!(scene.eight().await.iter().all(|end| *end == End::Accepted), "{peer}");
        scene.rig.world.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn calls_running_during_the_replacement_all_succeed() {
    for peer in PEERS {
        let scene = Scene::of(peer).await;
        let next = scene.rotate_at_the_peer().await;
        scene.write(&next);
        assert!(scene.eight().await.iter().all(|end| *end == End::Accepted), "{peer}");
        scene.rig.world.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_wrong_new_token_costs_one_log_line_and_one_attempt_a_cool_down() {
    for peer in PEERS {
        let (scene, logs) = (Scene::of(peer).await, Logs::of_this_thread());
        assert_eq!(scene.client.call().await, End::Accepted, "{peer}");
        let next = scene.rotate_at_the_peer().await;
        scene.write("zpack@pve!wrong=a token that the peer has never heard of");
        let before = scene.arrived().await;
        assert_eq!(scene.client.call().await, End::Refused, "{peer}");
        let refusal = scene.requests_of_a_refusal();
        assert_eq!(scene.arrived().await - before, 2 * refusal, "{peer}: the old one, then the wrong one");
        for cool_downs in 1..=3 {
            assert!(scene.eight().await.iter().all(|end| *end == End::Refused), "{peer}");
            let sent = scene.arrived().await - before;
            assert_eq!(sent, (1 + cool_downs) * refusal, "{peer}: nothing within the cool-down");
            scene.clock.advance(COOL_DOWN);
            assert!(scene.eight().await.iter().all(|end| *end == End::Refused), "{peer}");
            let sent = scene.arrived().await - before;
            assert_eq!(sent, (2 + cool_downs) * refusal, "{peer}: one attempt after it");
        }
        let begun = logs.with(" WARN ");
        assert_eq!(begun.len(), 1, "{peer}: {begun:?}");
        assert!(begun[0].contains("authentication with") && begun[0].contains("not sent for 60 s"), "{begun:?}");

        // The right token is used without another attempt with the wrong one.
        scene.write(&next);
        scene.clock.advance(COOL_DOWN);
        let before = scene.arrived().await;
        assert_eq!(scene.client.call().await, End::Accepted, "{peer}");
        assert_eq!(scene.arrived().await - before, 1, "{peer}");
        assert_eq!(logs.with("works again").len(), 1, "{peer}");
        assert_eq!(logs.with(" WARN ").len(), 1, "{peer}");
        let said = logs.end();
        assert!(!said.contains(&next) && !said.contains("never heard of"), "{peer}: a token was logged");
        scene.rig.world.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn an_unusable_token_file_is_named_in_the_log_line() {
    for peer in PEERS {
        let (scene, logs) = (Scene::of(peer).await, Logs::of_this_thread());
        scene.rotate_at_the_peer().await;
        std::fs::remove_file(&scene.file).unwrap();
        assert_eq!(scene.client.call().await, End::Refused, "{peer}");
        let lines = logs.with(" WARN ");
        assert_eq!(lines.len(), 1, "{peer}: {lines:?}");
        assert!(lines[0].contains(&scene.file.display().to_string()), "{lines:?}");
        scene.rig.world.shutdown().await.unwrap();
    }
}

/// All agents get the same token; a customer whose agent refuses it does not stop calls to other agents.
#[tokio::test]
async fn a_refusal_by_one_agent_does_not_stop_calls_to_others() {
    let scene = Scene::of("agent").await;
    let (two, settings) = (
        boot(&scene.rig, VMID + 1, 3).await,
        AgentSettings {
            reach: Reach::Loopback,
            port: scene.rig.world.agent_port(),
            token: Some(Secret::new(scene.rig.world.agent_token()).into()),
            timeout: TIMEOUT,
            cool_down: COOL_DOWN,
        },
    );
    let agents = Agents::new(settings, scene.clock.clone()).unwrap();
    while agents.health(two).await.is_err() {
        tokio::task::yield_now().await;
    }
    let one = IpAddr::V4(scene.rig.world.network().host(2));
    scene.rotate_at_the_peer().await;
    let refused = agents.status(one).await.unwrap_err();
    assert!(matches!(refused, AgentError::Unauthorized { .. }), "{refused}");
    let kept_back = agents.status(one).await.unwrap_err();
    assert!(matches!(kept_back, AgentError::KeptBack { .. }), "{kept_back}");
    agents.status(two).await.unwrap();
    agents.health(one).await.unwrap();
    // A client with another timeout shares the token.
    let patient = agents.within(TIMEOUT * 2).unwrap();
    let kept_back = patient.status(one).await.unwrap_err();
    assert!(matches!(kept_back, AgentError::KeptBack { .. }), "{kept_back}");
    scene.rig.world.shutdown().await.unwrap();
}
