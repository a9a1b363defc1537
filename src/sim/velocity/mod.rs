//! The simulated Velocity proxy with the zpack bridge in it (docs/contracts/edge.md C).
//!
//! The bridge is a peer like the others: register, unregister, status and list over HTTP. Registrations are in the
//! memory of the proxy: `POST /sim/velocity/restart` loses them all and begins a run with another boot id, while the
//! state file keeps them over a restart of the simulator, which does not restart the proxy. The proxy has its own TCP
//! port that answers the Server List Ping; it pings the servers behind it and reports the results to zpack
//! ([`callbacks`]).
//!
//! Not here: logins and the game itself, `[servers]` and `[forced-hosts]` of velocity.toml.

mod callbacks;
mod control;
mod registry;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use callbacks::CallbackSettings;
pub use control::{Bridge, PingMode};

use self::callbacks::Outbox;
use self::control::Levers;
use self::registry::{NotRegistered, Registry, Server};
use super::core::Core;
use super::error::SimError;
use super::minecraft::{Hello, StatusAnswer, StatusListener, StatusSource, ask};
use super::peer::{ControlError, ControlRequest, Peer};
use super::wire::{Reply, ServerOptions, SimRequest};
use crate::kernel::Timestamp;

/// From one ping of the servers behind the proxy to the next.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// The shortest pause between them, at any time scale.
const MIN_PING_INTERVAL: Duration = Duration::from_millis(100);
/// How long Velocity waits for the answer of a server, in real time.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest name and address of a server: a DNS name has at most 253 characters.
const MAX_NAME: usize = 1024;

/// What is kept over a restart of the simulator.
#[derive(Serialize, Deserialize)]
struct State {
    secrets: Vec<String>,
    boot_id: String,
    booted_at: Timestamp,
    port: u16,
    ping: PingMode,
    bridge: Bridge,
    registry: Registry,
    #[serde(default)]
    callbacks: CallbackSettings,
}

/// The simulated proxy.
pub struct Velocity {
    core: Arc<Core>,
    state: Mutex<State>,
    outbox: Outbox,
    door: Mutex<Option<StatusListener>>,
    me: Weak<Self>,
}

#[derive(Deserialize)]
struct Register {
    server_name: String,
    address: String,
    port: u16,
}

#[derive(Deserialize)]
struct Unregister {
    server_name: String,
}

impl Velocity {
    /// The proxy that was `saved`, or a fresh one; its game port listens when this returns.
    pub async fn start(core: Arc<Core>, saved: Option<Value>) -> Result<Arc<Self>, SimError> {
        let saved: Option<State> = saved
            .filter(|value| !value.is_null())
            .map(serde_json::from_value)
            .transpose()
            .map_err(|source| SimError::DamagedPeer { peer: "velocity", source })?;
        let state = saved.unwrap_or_else(|| State {
            secrets: vec![Uuid::new_v4().simple().to_string()],
            boot_id: Uuid::new_v4().to_string(),
            booted_at: core.clock.now(),
            port: 0,
            ping: PingMode::Proxy,
            bridge: Bridge::Current,
            registry: Registry::default(),
            callbacks: CallbackSettings::default(),
        });
        let port = state.port;
        let velocity = Arc::new_cyclic(|me| Self {
            core,
            outbox: Outbox::new(state.callbacks.clone()),
            state: Mutex::new(state),
            door: Mutex::new(None),
            me: me.clone(),
        });
        let listener = velocity.listen(port).await?;
        velocity.locked().port = listener.address().port();
        *velocity.door() = Some(listener);
        Ok(velocity)
    }

    /// Listens on the port of the last run if it is still free: players keep the address.
    async fn listen(self: &Arc<Self>, port: u16) -> Result<StatusListener, SimError> {
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if port != 0
            && let Ok(listener) = StatusListener::bind(address(port), self.clone()).await
        {
            return Ok(listener);
        }
        let bound = StatusListener::bind(address(0), self.clone()).await;
        bound.map_err(|source| SimError::Bind { peer: "velocity", address: address(0), source })
    }

    /// Where players connect.
    pub fn game_address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.locked().port))
    }

    /// The secret that the bridge accepts; the first one when there are several.
    pub fn secret(&self) -> String {
        self.locked().secrets.first().cloned().unwrap_or_default()
    }

    /// How callbacks are sent.
    pub fn callbacks(&self) -> CallbackSettings {
        self.outbox.settings()
    }

    /// Sends callbacks as `settings` say.
    pub fn call_back(&self, settings: CallbackSettings) {
        self.locked().callbacks = settings.clone();
        self.outbox.set(settings);
        self.core.changed();
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn door(&self) -> MutexGuard<'_, Option<StatusListener>> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn authorized(&self, request: &SimRequest) -> bool {
        let sent = request.header("x-zpack-secret").unwrap_or_default();
        self.locked().secrets.iter().any(|secret| proof(secret) == sent)
    }

    fn register(&self, request: &SimRequest) -> Reply {
        let Ok(Register { server_name, address, port }) = serde_json::from_slice(&request.body) else {
            return Reply::text(400, "expected server_name, address and port");
        };
        if server_name.trim().is_empty() || address.trim().is_empty() || port == 0 {
            return Reply::text(400, "server_name, address and port must not be empty");
        }
        if server_name.len().max(address.len()) > MAX_NAME {
            return Reply::text(400, "server_name and address must be shorter");
        }
        let registered = self.locked().registry.register(&server_name, &address, port, self.core.clock.now());
        match registered {
            Ok(new) => {
                if new {
                    self.core.changed();
                    self.greet(&server_name);
                }
                Reply::json(200, &json!({"registered": server_name, "new": new}))
            }
            Err(refused @ NotRegistered::Taken(_)) => Reply::text(409, refused.to_string()),
            Err(refused @ NotRegistered::Full) => Reply::text(503, refused.to_string()),
        }
    }

    fn unregister(&self, request: &SimRequest) -> Reply {
        let Ok(Unregister { server_name }) = serde_json::from_slice(&request.body) else {
            return Reply::text(400, "expected server_name");
        };
        if !self.locked().registry.unregister(&server_name) {
            return Reply::text(404, format!("no server {server_name}"));
        }
        self.core.changed();
        Reply::json(200, &json!({"unregistered": server_name}))
    }

    fn status(&self) -> Reply {
        let state = self.locked();
        let pinged =
            |server: &Server| server.last_ping.as_ref().filter(|ping| ping.error.is_none()).map(|ping| ping.at);
        let servers = state.registry.servers().map(|server| {
            json!({
                "name": server.name,
                "address": server.address,
                "port": server.port,
                "registered_at": server.registered_at,
                "last_ping": pinged(server),
            })
        });
        let servers: Vec<Value> = servers.collect();
        let uptime = self.core.clock.now().since(state.booted_at).as_secs();
        Reply::json(200, &json!({"boot_id": state.boot_id, "uptime_s": uptime, "servers": servers}))
    }

    fn list(&self) -> Reply {
        let names: Vec<Value> = self.locked().registry.servers().map(|server| json!({"name": server.name})).collect();
        Reply::json(200, &json!({"servers": names}))
    }

    /// Reports that a server was registered, and pings it for the first time.
    fn greet(&self, name: &str) {
        let server = self.locked().registry.find(name).cloned();
        let (Some(server), Some(me)) = (server, self.me.upgrade()) else { return };
        self.report(&server, "registered_with_proxy", json!({}));
        self.core.tasks.spawn(async move { me.ping(server).await });
    }

    /// Pings one server, keeps the result and reports it.
    async fn ping(&self, server: Server) {
        let begun = Instant::now();
        let asked = async {
            let address: IpAddr = server.address.parse().map_err(|_| "the address is no IP address".to_owned())?;
            let target = SocketAddr::new(address, server.port);
            ask(target, &server.name, -1, PING_TIMEOUT).await.map(drop).map_err(|error| error.to_string())
        };
        let outcome = tokio::select! {
            outcome = asked => outcome.map(|()| begun.elapsed()),
            () = self.core.stopping.cancelled() => return,
        };
        let now = self.core.clock.now();
        self.locked().registry.pinged(&server, now, outcome.clone());
        match outcome {
            Ok(took) => {
                let latency = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                self.report(&server, "proxy_ping_ok", json!({"latency_ms": latency}));
            }
            Err(error) => self.report(&server, "proxy_ping_failed", json!({"error": error})),
        }
    }

    fn report(&self, server: &Server, status: &str, more: Value) {
        let mut event = json!({
            "server_name": server.name,
            "status": status,
            "address": server.address,
            "port": server.port,
            "proxy_id": "velocity-1",
            "boot_id": self.locked().boot_id,
            "at": self.core.clock.now(),
        });
        if let (Some(event), Some(more)) = (event.as_object_mut(), more.as_object()) {
            event.extend(more.clone());
        }
        self.outbox.push(event);
    }

    async fn ping_all(&self) {
        loop {
            let pause = self.core.scale.real(PING_INTERVAL).max(MIN_PING_INTERVAL);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.core.stopping.cancelled() => return,
            }
            let servers: Vec<Server> = self.locked().registry.servers().cloned().collect();
            futures_util::future::join_all(servers.into_iter().map(|server| self.ping(server))).await;
        }
    }

    fn restart(&self) -> Value {
        let boot_id = Uuid::new_v4().to_string();
        let mut state = self.locked();
        state.registry.clear();
        state.booted_at = self.core.clock.now();
        state.boot_id.clone_from(&boot_id);
        json!({"boot_id": boot_id})
    }

    fn pull(&self, levers: Levers) -> Result<Value, ControlError> {
        if levers.secrets.as_ref().is_some_and(|secrets| secrets.is_empty()) {
            return Err(ControlError::Invalid("secrets: at least one".to_owned()));
        }
        let mut state = self.locked();
        state.ping = levers.ping.unwrap_or(state.ping);
        state.bridge = levers.bridge.unwrap_or(state.bridge);
        if let Some(secrets) = levers.secrets {
            state.secrets = secrets;
        }
        Ok(json!({"ping": state.ping, "bridge": state.bridge}))
    }
}

/// The value of `X-Zpack-Secret` that the bridge requires.
fn proof(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}

#[async_trait]
impl Peer for Velocity {
    fn name(&self) -> &'static str {
        "velocity"
    }

    fn listener(&self) -> Option<ServerOptions> {
        Some(ServerOptions::new("velocity"))
    }

    async fn handle(&self, request: SimRequest) -> Reply {
        let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
        let bridge = self.locked().bridge;
        match (request.method.as_str(), segments.as_slice(), bridge) {
            ("GET", ["zpack", "list"], Bridge::Current | Bridge::Older) => self.list(),
            ("POST", ["zpack", "register"], _) | ("POST", ["zpack", "unregister"], _) if !self.authorized(&request) => {
                Reply::text(401, "unauthorized")
            }
            ("GET", ["zpack", "status"], Bridge::Current) if !self.authorized(&request) => {
                Reply::text(401, "unauthorized")
            }
            ("POST", ["zpack", "register"], _) => self.register(&request),
            ("POST", ["zpack", "unregister"], _) => self.unregister(&request),
            ("GET", ["zpack", "status"], Bridge::Current) => self.status(),
            _ => Reply::text(404, "not found"),
        }
    }

    fn state(&self) -> Value {
        let state = self.locked();
        let servers: Vec<&Server> = state.registry.servers().collect();
        json!({
            "bootId": state.boot_id,
            "bootedAt": state.booted_at,
            "gameAddress": SocketAddr::from((Ipv4Addr::LOCALHOST, state.port)).to_string(),
            "ping": state.ping,
            "bridge": state.bridge,
            "servers": servers,
            "callbacks": self.outbox.view(),
        })
    }

    fn save(&self) -> Value {
        // Plain data; serde_json fails on nothing in it.
        serde_json::to_value(&*self.locked()).unwrap_or_default()
    }

    async fn begin(&self) {
        let Some(me) = self.me.upgrade() else { return };
        let pinger = me.clone();
        self.core.tasks.spawn(async move { pinger.ping_all().await });
        self.core.tasks.spawn(async move { me.outbox.deliver(&me.core, || proof(&me.secret())).await });
    }

    async fn end(&self) {
        let listener = self.door().take();
        if let Some(listener) = listener {
            listener.stop().await;
        }
    }

    async fn control(&self, request: ControlRequest) -> Result<Value, ControlError> {
        let (method, segments) = request.route();
        let answer = match (method, segments.as_slice()) {
            ("POST", []) => self.pull(request.parse()?)?,
            ("POST", ["restart"]) => self.restart(),
            ("POST", ["callbacks"]) => {
                self.call_back(request.parse()?);
                self.outbox.view()
            }
            ("POST", ["callbacks", "send"]) => {
                self.outbox.push_planned(request.parse()?)?;
                self.outbox.view()
            }
            _ => return Err(request.no_route()),
        };
        self.core.changed();
        Ok(answer)
    }
}

#[async_trait]
impl StatusSource for Velocity {
    async fn status(&self, _local: SocketAddr, hello: &Hello) -> StatusAnswer {
        let behind = {
            let state = self.locked();
            let host = hello.virtual_host().unwrap_or_default();
            (state.ping == PingMode::Passthrough).then(|| state.registry.find(&host).cloned()).flatten()
        };
        let protocol = if let Hello::Modern { protocol, .. } = hello { (*protocol).max(0) } else { 0 };
        if let Some(server) = behind
            && let Ok(address) = server.address.parse()
            && let Ok(status) = ask(SocketAddr::new(address, server.port), &server.name, protocol, PING_TIMEOUT).await
        {
            return StatusAnswer::Status(status);
        }
        StatusAnswer::Status(json!({
            "version": {"name": "Velocity 1.7.2-26.1", "protocol": protocol},
            "players": {"online": 0, "max": 500},
            "description": {"text": "A Velocity Server"},
        }))
    }
}
