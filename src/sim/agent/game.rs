//! The game ports: a container with a running Minecraft server answers the Server List Ping on its own address.
//!
//! A port is open while the workload is `running` and closed otherwise. `server.properties` on the disk of the
//! container is obeyed: `motd`, `max-players`, and `enable-status=false`, with which the server accepts connections and
//! sends nothing.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::Agents;
use super::instance::Agent;
use super::payload::Workload;
use super::state::State;
use crate::sim::minecraft::{Hello, StatusAnswer, StatusListener, StatusSource, protocol_of};

/// The port of Minecraft where the configuration names none.
const DEFAULT_PORT: u16 = 25_565;
const DEFAULT_PLAYERS: i64 = 20;
/// The pause when nothing is due; a change ends it.
const IDLE: Duration = Duration::from_secs(60);
/// How soon opening a port is retried: its last listener may just be closing.
const RETRY: Duration = Duration::from_millis(50);

/// The open game ports by container.
type GamePorts = BTreeMap<u32, StatusListener>;

impl Agent {
    /// The address of its Minecraft server, while that is running.
    fn game_address(&self) -> Option<SocketAddr> {
        let runs = self.up && self.machine.state() == State::Running && self.payload()?.is_minecraft();
        let port = self.config.as_ref()?.pointer("/ports/0").and_then(Value::as_u64);
        let port = port.and_then(|port| u16::try_from(port).ok()).unwrap_or(DEFAULT_PORT);
        runs.then_some(SocketAddr::new(IpAddr::V4(self.address?), port))
    }

    /// The value of a line of `server.properties`.
    fn property(&self, name: &str) -> Option<String> {
        let file = self.disk.read("server.properties").ok()?;
        let text = String::from_utf8_lossy(file).into_owned();
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
    }

    /// The answer of its Minecraft server to a status request.
    fn game_status(&self) -> StatusAnswer {
        if self.property("enable-status").as_deref() == Some("false") {
            return StatusAnswer::Silent;
        }
        let Some(Workload::Game { variant, version, .. }) = self.payload().map(|payload| payload.workload) else {
            return StatusAnswer::Reset;
        };
        let name = if variant == "vanilla" { version.clone() } else { format!("{variant} {version}") };
        let max = self.property("max-players").and_then(|max| max.parse().ok()).unwrap_or(DEFAULT_PLAYERS);
        StatusAnswer::Status(json!({
            "version": {"name": name, "protocol": protocol_of(&version)},
            "players": {"online": self.players, "max": max},
            "description": {"text": self.property("motd").unwrap_or_default()},
            "enforcesSecureChat": true,
        }))
    }
}

impl Agents {
    /// Opens and closes game ports as workloads start and stop, until the world stops.
    pub(super) async fn keep_game_ports(self: Arc<Self>) {
        let mut open = GamePorts::new();
        loop {
            let next = self.settle_game_ports(&mut open).await;
            tokio::select! {
                () = self.games.notified() => {}
                () = tokio::time::sleep(next) => {}
                () = self.core.stopping.cancelled() => break,
            }
        }
        for listener in open.into_values() {
            listener.stop().await;
        }
    }

    /// Opens and closes ports so that they match the running workloads; returns when to check again.
    async fn settle_game_ports(self: &Arc<Self>, open: &mut GamePorts) -> Duration {
        let now = self.core.clock.now();
        let (wanted, mut next) = {
            let mut agents = self.agents();
            agents.values_mut().for_each(|agent| agent.catch_up(now));
            let due = agents.values().filter_map(|agent| agent.machine.next_due()).min();
            let wanted: BTreeMap<u32, SocketAddr> =
                agents.values().filter_map(|agent| Some((agent.vmid, agent.game_address()?))).collect();
            (wanted, due.map_or(IDLE, |due| due.since(now).clamp(Duration::from_millis(1), IDLE)))
        };
        let closing: Vec<u32> = open
            .iter()
            .filter(|(vmid, listener)| wanted.get(vmid) != Some(&listener.address()))
            .map(|(vmid, _)| *vmid)
            .collect();
        for vmid in closing {
            if let Some(listener) = open.remove(&vmid) {
                listener.stop().await;
            }
        }
        for (vmid, address) in wanted {
            if open.contains_key(&vmid) {
                continue;
            }
            match StatusListener::bind(address, self.clone()).await {
                Ok(listener) => drop(open.insert(vmid, listener)),
                Err(error) => {
                    tracing::debug!(%address, vmid, %error, "the game port cannot be opened yet");
                    next = next.min(RETRY);
                }
            }
        }
        next
    }
}

#[async_trait]
impl StatusSource for Agents {
    async fn status(&self, local: SocketAddr, _hello: &Hello) -> StatusAnswer {
        let now = self.core.clock.now();
        let mut agents = self.agents();
        let mut present = agents.values_mut().filter(|agent| agent.address.map(IpAddr::V4) == Some(local.ip()));
        let Some(agent) = present.find(|agent| agent.up) else { return StatusAnswer::Reset };
        agent.catch_up(now);
        if agent.game_address() == Some(local) { agent.game_status() } else { StatusAnswer::Reset }
    }
}
