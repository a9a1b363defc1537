//! The simulated Proxmox VE cluster: nodes `pve1` and `pve2`, a template on each, one API for both.
//!
//! A request goes through [`api`] (transport rules, credentials, the schema, permissions, the owner node) to one
//! function in [`ops`]. Long work is a task: [`task`] defines tasks, [`effects`] what they change, [`runner`] executes them.
//! [`model`] is the data, which is saved as a whole, so tasks that were running are finished after a restart.
//! `docs/simulator.md` lists what is simulated and what is not.

mod access;
mod answer;
mod api;
mod condition;
mod control;
mod effects;
mod endpoints;
mod flock;
mod format;
mod model;
mod net;
mod ops;
mod profile;
mod pvestatd;
mod qemu;
mod runner;
mod schema;
mod task;
mod upid;
mod validate;
mod view;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, oneshot};
use uuid::Uuid;

use super::core::Core;
use super::error::SimError;
use super::peer::{ControlError, ControlRequest, FurtherListener, Peer};
use super::wire::{Reply, ServerOptions, SimRequest};
use access::Token;
use condition::Endpoints;
use flock::Flocks;
use model::Cluster;
use schema::Schema;

pub use condition::Condition;
pub use profile::PveProfile;

/// The id of the control plane's token.
const TOKEN_ID: &str = "zpack@pve!ctl";
/// Privileged daemon processes of a node, which is the number of protected calls that run on it at one time.
const WORKERS_PER_NODE: usize = 3;

/// The cluster.
pub struct Proxmox {
    me: Weak<Self>,
    core: Arc<Core>,
    schema: Schema,
    profile: Mutex<PveProfile>,
    cluster: Mutex<Cluster>,
    flocks: Flocks,
    workers: BTreeMap<String, Arc<Semaphore>>,
    endpoints: Endpoints,
    /// The running tasks; sending an exit status kills the worker of one.
    workers_alive: Mutex<HashMap<String, oneshot::Sender<&'static str>>>,
    /// Keeps the notifications of observers in order.
    notices: tokio::sync::Mutex<()>,
}

impl Proxmox {
    /// A new cluster, or the one that was `saved`.
    pub fn new(core: Arc<Core>, profile: PveProfile, saved: Option<Value>) -> Result<Arc<Self>, SimError> {
        let cluster = match saved {
            Some(saved) => {
                serde_json::from_value(saved).map_err(|source| SimError::DamagedPeer { peer: "proxmox", source })?
            }
            None => {
                let token = Token::control_plane(TOKEN_ID, Uuid::new_v4().to_string());
                Cluster::fresh(token, core.clock.now())
            }
        };
        let slots = |name: &String| (name.clone(), Arc::new(Semaphore::new(WORKERS_PER_NODE)));
        let schema = Schema::load()?;
        let endpoints = Endpoints::new().map_err(|source| SimError::Certificate { peer: "proxmox", source })?;
        Ok(Arc::new_cyclic(|me| Self {
            me: me.clone(),
            schema,
            profile: Mutex::new(profile),
            flocks: Flocks::new(core.scale),
            workers: cluster.nodes.keys().map(slots).collect(),
            endpoints,
            workers_alive: Mutex::default(),
            notices: tokio::sync::Mutex::default(),
            cluster: Mutex::new(cluster),
            core,
        }))
    }

    /// The control plane's API token, as `user@realm!id=secret`.
    pub fn token(&self) -> String {
        let cluster = self.cluster();
        let token = cluster.tokens.iter().find(|token| token.id == TOKEN_ID);
        token.map(|token| format!("{}={}", token.id, token.secret)).unwrap_or_default()
    }

    /// The release that is simulated now.
    fn profile(&self) -> PveProfile {
        *self.profile.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the cluster.
    fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the cluster; the state file is written soon after.
    fn change<R>(&self, change: impl FnOnce(&mut Cluster) -> R) -> R {
        let result = change(&mut self.cluster());
        self.core.changed();
        result
    }

    /// Works for `seconds` of simulated time; a world that shuts down ends it early.
    async fn work(&self, seconds: f64) {
        tokio::select! {
            () = self.core.wait(Duration::from_secs_f64(seconds)) => {}
            () = self.core.stopping.cancelled() => {}
        }
    }
}

#[async_trait]
impl Peer for Proxmox {
    fn name(&self) -> &'static str {
        "proxmox"
    }

    fn listener(&self) -> Option<ServerOptions> {
        Some(ServerOptions {
            max_body: 512 * 1024,
            idle: Duration::from_secs(5),
            requests_per_connection: 100,
            ..ServerOptions::new("proxmox")
        })
    }

    fn further_listeners(&self) -> Vec<FurtherListener> {
        self.listener().map(|ordinary| self.endpoints.further(ordinary)).unwrap_or_default()
    }

    fn base_path(&self) -> &'static str {
        "/api2/json"
    }

    async fn handle(&self, request: SimRequest) -> Reply {
        match self.me.upgrade() {
            Some(me) => me.serve(request).await,
            None => Reply::new(503),
        }
    }

    fn state(&self) -> Value {
        let cluster = self.cluster();
        json!({
            "profile": self.profile(),
            "qemu": cluster.qemu,
            "nodes": cluster.nodes.iter().map(|(name, node)| json!({"node": name, "online": node.online, "condition": self.endpoints.condition(name)})).collect::<Vec<_>>(),
            "containers": cluster.containers.values().map(view::ledger_row).collect::<Vec<_>>(),
            "tasks": cluster.tasks.iter().map(task::Task::row).collect::<Vec<_>>(),
            "ledger": cluster.ledger.entries().collect::<Vec<_>>(),
            "backups": *cluster.backups,
        })
    }

    fn save(&self) -> Value {
        serde_json::to_value(&*self.cluster()).unwrap_or_default()
    }

    async fn begin(&self) {
        if let Some(me) = self.me.upgrade() {
            me.resume().await;
            me.core.tasks.spawn(me.clone().broadcast());
        }
    }

    async fn control(&self, request: ControlRequest) -> Result<Value, ControlError> {
        match self.me.upgrade() {
            Some(me) => me.carry_out(request).await,
            None => Err(request.no_route()),
        }
    }
}
