//! The whole simulated world: starts every peer, saves the state, stops in order.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::agent::{AgentMode, AgentOptions, Agents};
use super::artifacts::{Artifacts, Catalog};
use super::cloudflare::Cloudflare;
use super::control::Control;
use super::core::{Core, TimeScale};
use super::dns::{DnsServer, ZoneView};
use super::error::SimError;
use super::fault_layer::FaultLayer;
use super::network::{Claim, Network};
use super::peer::Peer;
use super::proxmox::{Proxmox, PveProfile};
use super::state_file::{SavedWorld, StateFile};
use super::technitium::Technitium;
use super::traefik::Traefik;
use super::velocity::Velocity;
use super::wire::{Handler, Identity, Server, ServerOptions};
use crate::kernel::Clock;

/// Changes within this time are written together.
const SAVE_DEBOUNCE: Duration = Duration::from_millis(100);
/// The longest a shutdown waits for background work, which ends early when the world stops.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// How a world is started.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// Where the control listener listens; port 0 picks a free one.
    pub control: SocketAddr,
    /// The state file; without one nothing is kept when the world stops.
    pub state_file: Option<PathBuf>,
    /// Seconds of simulated work are multiplied by this.
    pub time_scale: f64,
    /// The Proxmox release that is simulated.
    pub profile: PveProfile,
    /// The second and third byte of the containers' `127.x.y.0/24`; random when absent. A saved network has priority.
    pub agent_network: Option<[u8; 2]>,
    /// The port every agent listens on, on its container's own address.
    pub agent_port: u16,
    /// Which agent is simulated.
    pub agent_mode: AgentMode,
    /// The zone of both DNS services; a saved one has priority.
    pub zone: String,
    /// The clock of the world.
    pub clock: Clock,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            control: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            state_file: None,
            time_scale: 0.01,
            profile: PveProfile::default(),
            agent_network: None,
            agent_port: 18888,
            agent_mode: AgentMode::Full,
            zone: "play.zpack.test".to_owned(),
            clock: Clock::System,
        }
    }
}

/// A running world.
pub struct World {
    core: Arc<Core>,
    control: Server,
    servers: BTreeMap<&'static str, Server>,
    peers: Vec<Arc<dyn Peer>>,
    proxmox: Arc<Proxmox>,
    velocity: Arc<Velocity>,
    traefik: Arc<Traefik>,
    cloudflare: Arc<Cloudflare>,
    technitium: Arc<Technitium>,
    dns: BTreeMap<&'static str, DnsServer>,
    agent_port: u16,
    saver: Saver,
    _claim: Claim,
}

impl World {
    /// Starts every peer; each listens when this returns.
    pub async fn start(config: SimConfig) -> Result<Self, SimError> {
        let file = config.state_file.clone().map(StateFile::new);
        let saved = match &file {
            Some(file) => file.load().await?,
            None => None,
        };
        let wanted = saved.as_ref().map(|saved| saved.network).or(config.agent_network.map(Network));
        let claim = Claim::of(wanted, config.agent_port)?;
        let saved = saved.unwrap_or_else(|| SavedWorld {
            network: claim.network,
            agent_token: Uuid::new_v4().simple().to_string(),
            ports: BTreeMap::new(),
            peers: BTreeMap::new(),
        });
        let core = Arc::new(Core::new(config.clock.clone(), TimeScale::new(config.time_scale), saved.network));

        let proxmox = Proxmox::new(core.clone(), config.profile, saved.peers.get("proxmox").cloned())?;
        let catalog = Arc::new(Catalog::standard());
        let token = saved.agent_token.clone();
        let options = AgentOptions { port: config.agent_port, token, mode: config.agent_mode };
        let agents = Agents::new(core.clone(), options, catalog.clone(), saved.peers.get("agents").cloned())?;
        let velocity = Velocity::start(core.clone(), saved.peers.get("velocity").cloned()).await?;
        let traefik = Traefik::new(core.clone(), saved.peers.get("traefik").cloned())?;
        let cloudflare = Cloudflare::new(core.clone(), &config.zone, saved.peers.get("cloudflare").cloned())?;
        let technitium = Technitium::new(core.clone(), &config.zone, saved.peers.get("technitium").cloned())?;
        let peers: Vec<Arc<dyn Peer>> = vec![
            proxmox.clone(),
            agents,
            Artifacts::new(catalog),
            velocity.clone(),
            cloudflare.clone(),
            technitium.clone(),
            traefik.clone(),
        ];

        let mut servers = BTreeMap::new();
        let mut dns = BTreeMap::new();
        for peer in &peers {
            if let Some(view) = peer.zone_view() {
                let port = saved.ports.get(&dns_key(peer.key())).copied().unwrap_or(0);
                dns.insert(peer.key(), serve_dns(peer.name(), port, view).await?);
            }
            if let Some(options) = peer.listener() {
                let layer = Arc::new(FaultLayer::new(core.clone(), peer.clone()));
                let port = saved.ports.get(peer.key()).copied().unwrap_or(0);
                servers.insert(peer.key(), listen(port, options, None, layer).await?);
            }
            for listener in peer.further_listeners() {
                let layer = Arc::new(FaultLayer::new(core.clone(), peer.clone()));
                let port = saved.ports.get(listener.key).copied().unwrap_or(0);
                servers.insert(listener.key, listen(port, listener.options, listener.identity, layer).await?);
            }
        }
        let control_options = ServerOptions { max_body: 8 * 1024 * 1024, ..ServerOptions::new("control") };
        let control = Arc::new(Control::new(core.clone(), peers.clone()));
        let control = Server::bind(config.control, control_options, control)
            .await
            .map_err(|source| SimError::Bind { peer: "control", address: config.control, source })?;

        for peer in &peers {
            peer.begin().await;
        }
        let mut ports: BTreeMap<String, u16> =
            servers.iter().map(|(key, server)| ((*key).to_owned(), server.address().port())).collect();
        ports.extend(dns.iter().map(|(key, server)| (dns_key(key), server.address().port())));
        let saver = Saver { file, world: SavedWorld { ports, ..saved }, peers: peers.clone() };
        saver.store().await?;
        core.tasks.spawn(saver.clone().run(core.clone()));
        Ok(Self {
            core,
            control,
            servers,
            peers,
            proxmox,
            velocity,
            traefik,
            cloudflare,
            technitium,
            dns,
            agent_port: config.agent_port,
            saver,
            _claim: claim,
        })
    }

    /// Where the control listener listens, such as `http://127.0.0.1:4001`.
    pub fn control_url(&self) -> String {
        format!("http://{}", self.control.address())
    }

    /// Where the peer of this key listens, without its base path.
    pub fn peer_url(&self, key: &str) -> Option<String> {
        self.servers.get(key).map(|server| format!("http://{}", server.address()))
    }

    /// The base of the Proxmox API, ending in `/api2/json`.
    pub fn proxmox_url(&self) -> String {
        let origin = self.peer_url(self.proxmox.key()).unwrap_or_default();
        format!("{origin}{}", self.proxmox.base_path())
    }

    /// The base of the API of each node, in the order of their names; any of them serves the whole cluster.
    pub fn proxmox_urls(&self) -> Vec<String> {
        let keys = std::iter::once(self.proxmox.key()).chain(self.proxmox.plain_endpoints());
        keys.filter_map(|key| self.peer_url(key))
            .map(|origin| format!("{origin}{}", self.proxmox.base_path()))
            .collect()
    }

    /// The base of the API of each node over TLS, in the order of their names.
    pub fn proxmox_tls_urls(&self) -> Vec<String> {
        let address = |key| self.servers.get(key).map(Server::address);
        let addresses = self.proxmox.tls_endpoints().filter_map(address);
        addresses.map(|address| format!("https://{address}{}", self.proxmox.base_path())).collect()
    }

    /// The simulated Proxmox: the certificates of its nodes.
    pub fn proxmox(&self) -> &Arc<Proxmox> {
        &self.proxmox
    }

    /// The API token for it, as `user@realm!id=secret`.
    pub fn proxmox_token(&self) -> String {
        self.proxmox.token()
    }

    /// Where the artifact catalog listens.
    pub fn artifacts_url(&self) -> String {
        self.peer_url("artifacts").unwrap_or_default()
    }

    /// The simulated Velocity: its secret, its game port, where it sends callbacks.
    pub fn velocity(&self) -> &Arc<Velocity> {
        &self.velocity
    }

    /// The simulated Traefik: what it polls, where its entry points are.
    pub fn traefik(&self) -> &Arc<Traefik> {
        &self.traefik
    }

    /// Where the bridge of the simulated Velocity listens.
    pub fn velocity_url(&self) -> String {
        self.peer_url("velocity").unwrap_or_default()
    }

    /// The simulated Cloudflare: its zone's id and its token.
    pub fn cloudflare(&self) -> &Arc<Cloudflare> {
        &self.cloudflare
    }

    /// The base of the Cloudflare API, ending in `/client/v4`.
    pub fn cloudflare_url(&self) -> String {
        let origin = self.peer_url("cloudflare").unwrap_or_default();
        format!("{origin}{}", self.cloudflare.base_path())
    }

    /// The simulated Technitium: its token.
    pub fn technitium(&self) -> &Arc<Technitium> {
        &self.technitium
    }

    /// Where the HTTP API of Technitium listens.
    pub fn technitium_url(&self) -> String {
        self.peer_url("technitium").unwrap_or_default()
    }

    /// Where the records of the peer of this key are served over DNS, UDP and TCP.
    pub fn dns_address(&self, key: &str) -> Option<SocketAddr> {
        self.dns.get(key).map(DnsServer::address)
    }

    /// The port of every agent.
    pub fn agent_port(&self) -> u16 {
        self.agent_port
    }

    /// The token every agent accepts.
    pub fn agent_token(&self) -> &str {
        &self.saver.world.agent_token
    }

    /// The network of the containers.
    pub fn network(&self) -> Network {
        self.core.network
    }

    /// The shared part, for tests that run in the same process.
    pub fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Stops every listener and all background work, then writes the state one last time.
    pub async fn shutdown(self) -> Result<(), SimError> {
        self.core.stopping.cancel();
        self.control.stop().await;
        for (_, server) in self.servers {
            server.stop().await;
        }
        for (_, server) in self.dns {
            server.stop().await;
        }
        for peer in &self.peers {
            peer.end().await;
        }
        self.core.tasks.close();
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, self.core.tasks.wait()).await.is_err() {
            tracing::warn!(
                tasks = self.core.tasks.len(),
                "{} simulated tasks continue after the shutdown",
                self.core.tasks.len()
            );
        }
        self.saver.store().await
    }
}

/// Listens on the port of the last run if it is still free: clients have the address in their settings.
async fn listen(
    port: u16,
    options: ServerOptions,
    identity: Option<Identity>,
    handler: Arc<dyn Handler>,
) -> Result<Server, SimError> {
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let bind = async |port| match &identity {
        Some(identity) => Server::bind_tls(address(port), options, identity, handler.clone()).await,
        None => Server::bind(address(port), options, handler.clone()).await,
    };
    if port != 0
        && let Ok(server) = bind(port).await
    {
        return Ok(server);
    }
    let bound = bind(0).await;
    bound.map_err(|source| SimError::Bind { peer: options.peer, address: address(0), source })
}

/// The key of the port of a peer's DNS server in the state file.
fn dns_key(key: &str) -> String {
    format!("{key}-dns")
}

/// Serves DNS on the port of the last run if it is still free.
async fn serve_dns(peer: &'static str, port: u16, view: Arc<dyn ZoneView>) -> Result<DnsServer, SimError> {
    if port != 0
        && let Ok(server) = DnsServer::bind(port, view.clone()).await
    {
        return Ok(server);
    }
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    DnsServer::bind(0, view).await.map_err(|source| SimError::Bind { peer, address, source })
}

/// Writes the state file.
#[derive(Clone)]
struct Saver {
    file: Option<StateFile>,
    world: SavedWorld,
    peers: Vec<Arc<dyn Peer>>,
}

impl Saver {
    async fn store(&self) -> Result<(), SimError> {
        let Some(file) = &self.file else { return Ok(()) };
        let peers = self.peers.iter().map(|peer| (peer.key().to_owned(), peer.save())).collect();
        file.store(&SavedWorld { peers, ..self.world.clone() }).await
    }

    async fn run(self, core: Arc<Core>) {
        loop {
            tokio::select! {
                () = core.changed.notified() => {}
                () = core.stopping.cancelled() => return,
            }
            tokio::time::sleep(SAVE_DEBOUNCE).await;
            if let Err(error) = self.store().await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the state of the simulator was not saved: {error}"
                );
            }
        }
    }
}
