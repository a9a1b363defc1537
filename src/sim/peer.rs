//! What a simulated peer is to the world, and the notifications about containers between peers.

use std::net::Ipv4Addr;
use std::sync::Arc;

use async_trait::async_trait;
use hyper::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::dns::ZoneView;
use super::wire::{Identity, Reply, ServerOptions, SimRequest};

/// A simulated service. The world wraps [`Peer::handle`] with a `FaultLayer` (faults, journal).
#[async_trait]
pub trait Peer: Send + Sync + 'static {
    /// The name in faults and in the journal, such as `proxmox`.
    fn name(&self) -> &'static str;

    /// The key in `/sim/state`, in the state file, and of the control routes `/sim/<key>/...`.
    fn key(&self) -> &'static str {
        self.name()
    }

    /// The listener that the world opens for it; `None` when the peer opens its own.
    fn listener(&self) -> Option<ServerOptions>;

    /// Further listeners that the world opens for it; their requests differ by [`SimRequest::endpoint`].
    fn further_listeners(&self) -> Vec<FurtherListener> {
        Vec::new()
    }

    /// The prefix of its paths; the path of a fault may leave it out.
    fn base_path(&self) -> &'static str {
        ""
    }

    /// Executes one request.
    async fn handle(&self, request: SimRequest) -> Reply;

    /// The records it publishes; the world serves them over DNS on a port of their own.
    fn zone_view(&self) -> Option<Arc<dyn ZoneView>> {
        None
    }

    /// What `/sim/state` shows of it.
    fn state(&self) -> Value;

    /// What is kept over a restart; `Null` when nothing is.
    fn save(&self) -> Value;

    /// Called once after all peers listen, before the world is ready.
    async fn begin(&self) {}

    /// Called once when the world shuts down, after the world's listeners are closed.
    async fn end(&self) {}

    /// Executes a control request below `/sim/<key>/`. Other routes are [`ControlError::NoRoute`].
    async fn control(&self, request: ControlRequest) -> Result<Value, ControlError> {
        Err(request.no_route())
    }
}

/// A further listener of a peer.
#[derive(Debug)]
pub struct FurtherListener {
    /// Its key among all listeners of the world.
    pub key: &'static str,
    /// How it treats its connections.
    pub options: ServerOptions,
    /// Its certificate when it speaks TLS.
    pub identity: Option<Identity>,
}

/// A request on the control listener for one peer.
#[derive(Debug)]
pub struct ControlRequest {
    /// The method.
    pub method: Method,
    /// The path below `/sim/<key>/`.
    pub segments: Vec<String>,
    /// The query.
    pub query: Vec<(String, String)>,
    /// The body; `Null` when empty.
    pub body: Value,
}

impl ControlRequest {
    /// Method and path for a `match`: `match request.route() { ("POST", ["nodes", node]) => … }`.
    pub fn route(&self) -> (&str, Vec<&str>) {
        (self.method.as_str(), self.segments.iter().map(String::as_str).collect())
    }

    /// The body as a typed value.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, ControlError> {
        serde_json::from_value(self.body.clone()).map_err(|error| ControlError::Invalid(error.to_string()))
    }

    /// The error for a route that does not exist.
    pub fn no_route(&self) -> ControlError {
        ControlError::NoRoute(format!("{} …/{}", self.method, self.segments.join("/")))
    }
}

/// A control request was refused.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is no such route.
    #[error("the simulator has no control route `{0}`")]
    NoRoute(String),
    /// The object named in the path does not exist.
    #[error("{0} does not exist")]
    Unknown(String),
    /// The body or query is wrong.
    #[error("invalid request: {0}")]
    Invalid(String),
}

impl ControlError {
    /// The HTTP status for it.
    pub fn status(&self) -> u16 {
        match self {
            Self::NoRoute(_) | Self::Unknown(_) => 404,
            Self::Invalid(_) => 400,
        }
    }
}

/// A container that is running and has its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// Its VMID.
    pub vmid: u32,
    /// Grows with every container created: with a reused VMID it shows that this is another container with another
    /// disk.
    pub incarnation: u64,
    /// Its address, when it is in the loopback network of the world.
    pub address: Option<Ipv4Addr>,
    /// Its host name.
    pub hostname: String,
    /// Its memory in MiB.
    pub memory: u64,
    /// Its description, where the control plane writes its nonce.
    pub description: String,
}

/// Observes containers: the simulated agent does.
#[async_trait]
pub trait ContainerObserver: Send + Sync + 'static {
    /// The container is running and has its address. Also called for each running container when the world starts
    /// again.
    async fn started(&self, boot: Boot);

    /// The container has stopped; its disk stays.
    async fn stopped(&self, vmid: u32);

    /// The container and its disk are gone.
    async fn destroyed(&self, vmid: u32);
}
