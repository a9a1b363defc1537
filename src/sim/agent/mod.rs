//! The simulated in-container agent (docs/contracts/agent.md): one per running container, on the container's own
//! address.
//!
//! The hypervisor notifies [`Agents`] when a container starts and stops ([`ContainerObserver`]). The agent of a booted
//! container listens; that of a stopped one does not, and its disk stays. An accepted configuration is installed by a
//! script of steps ([`script`]) and started; everything that happens without a request is an event with a due time in
//! its [`machine`], so nothing is lost when the simulator restarts. A running Minecraft server answers the Server List
//! Ping ([`game`]). Two agents are simulated: the complete contract and today's small one ([`AgentMode`]).
//!
//! Not here: the WebSocket console stream, and real downloads (an install asks the simulated catalog in-process).

mod backups;
mod console;
mod control;
mod disk;
mod game;
mod instance;
mod job;
mod listeners;
mod machine;
mod payload;
mod problem;
mod routes;
mod script;
mod state;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::Notify;

pub use instance::AgentMode;

use self::control::Levers;
use self::instance::Agent;
use self::listeners::{Arrival, Listeners};
use self::routes::Surroundings;
use super::artifacts::Catalog;
use super::core::Core;
use super::error::SimError;
use super::peer::{Boot, ContainerObserver, ControlError, ControlRequest, Peer};
use super::wire::{Delivery, Reply, ServerOptions, SimRequest};

/// The time from the start of a container until its agent listens.
const BOOT: Duration = Duration::from_secs(1);
/// The longest body an agent reads.
const MAX_BODY: usize = 16 * 1024 * 1024;
/// The most agents that can be prepared in advance.
const MAX_NEXT: usize = 100;

/// What all agents of a world have in common.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// The port each listens on.
    pub port: u16,
    /// The token each accepts.
    pub token: String,
    /// The simulated agent, unless a test chose another one.
    pub mode: AgentMode,
}

/// All agents of a world.
pub struct Agents {
    core: Arc<Core>,
    options: AgentOptions,
    catalog: Arc<Catalog>,
    agents: Mutex<BTreeMap<u32, Agent>>,
    next: Mutex<VecDeque<Levers>>,
    listeners: Listeners,
    games: Notify,
    me: Weak<Self>,
}

impl Agents {
    /// The agents that were `saved`, as an observer of the containers of `core`.
    pub fn new(
        core: Arc<Core>,
        options: AgentOptions,
        catalog: Arc<Catalog>,
        saved: Option<Value>,
    ) -> Result<Arc<Self>, SimError> {
        let saved = saved.filter(|value| !value.is_null());
        let saved: Vec<Agent> = saved
            .map_or(Ok(Vec::new()), serde_json::from_value)
            .map_err(|source| SimError::DamagedPeer { peer: "agent", source })?;
        let agents = saved.into_iter().map(|agent| (agent.vmid, agent)).collect();
        let made = Arc::new_cyclic(|me| Self {
            core: core.clone(),
            options,
            catalog,
            agents: Mutex::new(agents),
            next: Mutex::default(),
            listeners: Listeners::default(),
            games: Notify::new(),
            me: me.clone(),
        });
        core.observe_containers(made.clone());
        Ok(made)
    }

    fn agents(&self) -> MutexGuard<'_, BTreeMap<u32, Agent>> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> MutexGuard<'_, VecDeque<Levers>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the container is running; returns how long its agent takes to answer.
    fn arrive(&self, boot: &Boot) -> Duration {
        let mut agents = self.agents();
        let known = agents.remove(&boot.vmid).filter(|agent| agent.incarnation == boot.incarnation);
        let mut agent = known.unwrap_or_else(|| {
            let mut agent = Agent::new(boot);
            if let Some(levers) = self.next().pop_front() {
                levers.prepare(&mut agent);
            }
            agent
        });
        // An agent that was up when the simulator stopped answers at once when it starts again.
        let delay = if agent.up { Duration::ZERO } else { BOOT };
        agent.up = true;
        agent.address = boot.address;
        agents.insert(boot.vmid, agent);
        delay
    }

    async fn listen(self: Arc<Self>, vmid: u32, address: Ipv4Addr, delay: Duration, arrival: Arrival) {
        tokio::select! {
            () = self.core.wait(delay) => {}
            () = arrival.cancelled() => return,
            () = self.core.stopping.cancelled() => return,
        }
        let options = ServerOptions { max_body: MAX_BODY, ..ServerOptions::new("agent") };
        if !self.listeners.open(arrival, (address, self.options.port).into(), options, &self.core, self.clone()).await {
            return;
        }
        let now = self.core.clock.now();
        if let Some(agent) = self.agents().get_mut(&vmid) {
            agent.machine.boot(now, self.core.scale);
            agent.catch_up(now);
        }
        self.games.notify_one();
        self.core.changed();
    }

    fn control_next(&self, request: &ControlRequest) -> Result<Value, ControlError> {
        let levers: Levers = request.parse()?;
        levers.check_next()?;
        let mut next = self.next();
        if next.len() >= MAX_NEXT {
            return Err(ControlError::Invalid(format!("{MAX_NEXT} agents are prepared already")));
        }
        next.push_back(levers);
        Ok(json!({"prepared": next.len()}))
    }

    fn control_one(&self, vmid: &str, request: &ControlRequest) -> Result<Value, ControlError> {
        let levers: Levers = request.parse()?;
        let now = self.core.clock.now();
        let mut agents = self.agents();
        let agent = vmid.parse().ok().and_then(|vmid: u32| agents.get_mut(&vmid));
        let agent = agent.ok_or_else(|| ControlError::Unknown(format!("agent {vmid}")))?;
        agent.catch_up(now);
        levers.apply(agent, now, self.core.scale)?;
        Ok(agent.view(self.options.mode))
    }
}

#[async_trait]
impl Peer for Agents {
    fn name(&self) -> &'static str {
        "agent"
    }

    fn key(&self) -> &'static str {
        "agents"
    }

    fn listener(&self) -> Option<ServerOptions> {
        None
    }

    async fn handle(&self, request: SimRequest) -> Reply {
        let now = self.core.clock.now();
        let around = Surroundings { now, scale: self.core.scale, catalog: &self.catalog, token: &self.options.token };
        let reply = {
            let mut agents = self.agents();
            let mut present = agents.values_mut().filter(|agent| agent.up);
            let Some(agent) = present.find(|agent| agent.address.map(IpAddr::V4) == Some(request.local.ip())) else {
                return Reply::new(503).delivered(Delivery::Reset);
            };
            agent.requests += 1;
            if agent.hang {
                return Reply::new(200).delivered(Delivery::NoAnswer);
            }
            let outlook = |agent: &Agent| (agent.machine.state(), agent.machine.next_due());
            let before = outlook(agent);
            agent.catch_up(now);
            let mode = agent.mode.unwrap_or(self.options.mode);
            let reply = routes::answer(agent, mode, &request, &around);
            agent.catch_up(now);
            if outlook(agent) != before {
                self.games.notify_one();
            }
            reply.after(Duration::from_millis(agent.slow_ms))
        };
        if routes::changes_something(&request.method) {
            self.core.changed();
        }
        reply
    }

    fn state(&self) -> Value {
        let now = self.core.clock.now();
        let mut agents = self.agents();
        let view = |agent: &mut Agent| {
            agent.catch_up(now);
            agent.view(self.options.mode)
        };
        Value::Array(agents.values_mut().map(view).collect())
    }

    fn save(&self) -> Value {
        let agents = self.agents();
        // An agent is plain data; serde_json fails on nothing in it.
        serde_json::to_value(agents.values().collect::<Vec<_>>()).unwrap_or_default()
    }

    async fn begin(&self) {
        if let Some(me) = self.me.upgrade() {
            self.core.tasks.spawn(me.keep_game_ports());
        }
    }

    async fn end(&self) {
        self.listeners.close_all().await;
    }

    async fn control(&self, request: ControlRequest) -> Result<Value, ControlError> {
        let answer = match request.route() {
            ("POST", segments) => match segments.as_slice() {
                ["next"] => self.control_next(&request),
                [vmid] => self.control_one(vmid, &request),
                _ => Err(request.no_route()),
            },
            _ => Err(request.no_route()),
        };
        self.games.notify_one();
        self.core.changed();
        answer
    }
}

#[async_trait]
impl ContainerObserver for Agents {
    async fn started(&self, boot: Boot) {
        let delay = self.arrive(&boot);
        let arrival = self.listeners.expect(boot.vmid).await;
        match (boot.address, self.me.upgrade()) {
            (Some(address), Some(me)) => {
                self.core.tasks.spawn(me.listen(boot.vmid, address, delay, arrival));
            }
            (None, _) => {
                tracing::warn!(
                    vmid = boot.vmid,
                    "container {} has no address in the network of the simulator, so it has no agent",
                    boot.vmid
                )
            }
            (Some(_), None) => {}
        }
        self.core.changed();
    }

    async fn stopped(&self, vmid: u32) {
        self.listeners.close(vmid).await;
        let now = self.core.clock.now();
        if let Some(agent) = self.agents().get_mut(&vmid) {
            agent.power_loss(now);
        }
        self.games.notify_one();
        self.core.changed();
    }

    async fn destroyed(&self, vmid: u32) {
        self.listeners.close(vmid).await;
        self.agents().remove(&vmid);
        self.games.notify_one();
        self.core.changed();
    }
}
