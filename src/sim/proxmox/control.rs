//! `/sim/proxmox/...`: the actions of an operator, failures of nodes, and other releases.

use std::collections::BTreeSet;
use std::sync::Arc;

use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Proxmox;
use super::access::{AclEntry, Token};
use super::effects::Notice;
use super::net::normalise_tags;
use super::profile::PveProfile;
use super::qemu::QemuGuest;
use super::task::{LOST, PlannedEnding};
use crate::sim::peer::{ControlError, ControlRequest};

/// The most endings that can be planned.
const MAX_ENDINGS: usize = 1000;
/// The longest exit status of a planned ending.
const MAX_STATUS: usize = 500;
/// The most tokens there may be.
const MAX_TOKENS: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NodeEdit {
    online: bool,
    /// The node loses its power: its tasks end where they are, its containers stop, locks stay.
    #[serde(default)]
    crash: bool,
    /// Whether its storage for containers has no room; as before when absent.
    #[serde(default)]
    storage_full: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileEdit {
    version: PveProfile,
}

/// `allowed: null` lets everyone set any tag.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TagsEdit {
    allowed: Option<BTreeSet<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenEdit {
    id: String,
    acl: Vec<AclEntry>,
}

/// `lock: null` removes the lock; without `lock` it stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ContainerEdit {
    #[serde(default, deserialize_with = "given")]
    lock: Option<Option<String>>,
    status: Option<Status>,
    description: Option<String>,
    tags: Option<String>,
    ha: Option<bool>,
    ignores_shutdown: Option<bool>,
    /// The container is moved there as it is, running or not.
    node: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Running,
    Stopped,
}

fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Proxmox {
    /// Executes a control request.
    pub(super) async fn carry_out(self: Arc<Self>, request: ControlRequest) -> Result<Value, ControlError> {
        let (_, path) = request.route();
        match (&request.method, path.as_slice()) {
            (&Method::POST, ["nodes", node]) => self.edit_node(node, request.parse()?).await,
            (&Method::POST, ["endpoints", node]) => self.edit_condition(node, request.parse()?),
            (&Method::POST, ["profile"]) => {
                let ProfileEdit { version } = request.parse()?;
                *self.profile.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = version;
                Ok(json!({"version": version}))
            }
            (&Method::POST, ["tasks", "next"]) => self.plan_ending(request.parse()?),
            (&Method::POST, ["tasks", "forget"]) => {
                let upid = request.body.get("upid").and_then(Value::as_str);
                Ok(json!({"forgotten": self.change(|cluster| cluster.tasks.forget(upid))}))
            }
            (&Method::POST, ["containers", vmid]) => self.edit_container(number(vmid)?, request.parse()?).await,
            (&Method::DELETE, ["containers", vmid]) => self.remove_container(number(vmid)?).await,
            (&Method::POST, ["tags"]) => {
                let TagsEdit { allowed } = request.parse()?;
                self.change(|cluster| cluster.allowed_tags = allowed);
                Ok(Value::Null)
            }
            (&Method::POST, ["qemu", vmid]) => self.put_qemu(number(vmid)?, request.parse()?),
            (&Method::DELETE, ["qemu", vmid]) => {
                let vmid = number(vmid)?;
                let gone = self.change(|cluster| cluster.qemu.remove(&vmid));
                gone.map(|_| json!({"removed": vmid})).ok_or_else(|| ControlError::Unknown(format!("VM {vmid}")))
            }
            (&Method::POST, ["tokens"]) => self.add_token(request.parse()?),
            (&Method::DELETE, ["tokens", id]) => self.revoke_token(id),
            _ => Err(request.no_route()),
        }
    }

    async fn edit_node(&self, name: &str, edit: NodeEdit) -> Result<Value, ControlError> {
        let now = self.core.clock.now();
        let (running_tasks, notices, boots) = self.change(|cluster| {
            let node = cluster.nodes.get_mut(name).ok_or_else(|| ControlError::Unknown(format!("node {name}")))?;
            node.online = edit.online;
            node.storage_full = edit.storage_full.unwrap_or(node.storage_full);
            if !edit.crash {
                let boots = edit.online && std::mem::take(&mut node.crashed);
                return Ok((Vec::new(), Vec::new(), boots));
            }
            node.crashed = !edit.online;
            cluster.qemu.values_mut().filter(|guest| guest.node == name).for_each(|guest| guest.running = false);
            let here = cluster.tasks.iter().filter(|task| task.node == name && task.ended.is_none());
            let tasks: Vec<String> = here.map(|task| task.upid.clone()).collect();
            let containers = cluster.containers.values().filter(|ct| ct.node == name);
            let vmids: Vec<u32> = containers.map(|container| container.vmid).collect();
            let notices: Vec<Notice> = vmids.into_iter().flat_map(|vmid| cluster.halt(vmid, now)).collect();
            Ok((tasks, notices, edit.online))
        })?;
        for upid in running_tasks {
            self.kill(&upid, LOST);
        }
        for notice in notices {
            self.notify(notice).await;
        }
        if boots {
            self.start_all(name);
        }
        Ok(json!({"node": name, "online": edit.online}))
    }

    fn put_qemu(&self, vmid: u32, guest: QemuGuest) -> Result<Value, ControlError> {
        self.change(|cluster| {
            if !cluster.nodes.contains_key(&guest.node) {
                return Err(ControlError::Unknown(format!("node {}", guest.node)));
            }
            if !cluster.qemu.contains_key(&vmid) {
                cluster.demand_unused(vmid).map_err(ControlError::Invalid)?;
                cluster.demand_room(vmid).map_err(ControlError::Invalid)?;
            }
            cluster.qemu.insert(vmid, guest);
            Ok(json!({"vmid": vmid}))
        })
    }

    fn plan_ending(&self, ending: PlannedEnding) -> Result<Value, ControlError> {
        if ending.exitstatus.is_empty() || ending.exitstatus.len() > MAX_STATUS {
            return Err(ControlError::Invalid(format!("`exitstatus` must have 1 to {MAX_STATUS} bytes")));
        }
        self.change(|cluster| {
            if cluster.planned_endings.len() >= MAX_ENDINGS {
                return Err(ControlError::Invalid(format!("more than {MAX_ENDINGS} endings are planned")));
            }
            cluster.planned_endings.push(ending);
            Ok(json!({"planned": cluster.planned_endings.len()}))
        })
    }

    async fn edit_container(&self, vmid: u32, edit: ContainerEdit) -> Result<Value, ControlError> {
        let (now, network) = (self.core.clock.now(), self.core.network);
        let notices = self.change(|cluster| {
            if let Some(node) = edit.node.as_ref().filter(|node| !cluster.nodes.contains_key(*node)) {
                return Err(ControlError::Unknown(format!("node {node}")));
            }
            let container = cluster.containers.get_mut(&vmid).ok_or_else(|| unknown(vmid))?;
            if let Some(node) = edit.node {
                container.node = node;
            }
            if let Some(lock) = edit.lock {
                container.lock = lock;
            }
            if let Some(description) = edit.description {
                container.config.insert("description".to_owned(), description);
            }
            if let Some(tags) = edit.tags {
                container.config.insert("tags".to_owned(), normalise_tags(&tags));
            }
            container.ha = edit.ha.unwrap_or(container.ha);
            container.ignores_shutdown = edit.ignores_shutdown.unwrap_or(container.ignores_shutdown);
            let (node, running) = (container.node.clone(), container.run.is_some());
            match edit.status {
                Some(Status::Running) if !running => {
                    cluster.start(&node, vmid, network, now).map_err(ControlError::Invalid)
                }
                Some(Status::Stopped) => Ok(cluster.halt(vmid, now)),
                Some(Status::Running) | None => Ok(Vec::new()),
            }
        })?;
        for notice in notices {
            self.notify(notice).await;
        }
        let cluster = self.cluster();
        cluster.containers.get(&vmid).map(super::view::ledger_row).ok_or_else(|| unknown(vmid))
    }

    async fn remove_container(&self, vmid: u32) -> Result<Value, ControlError> {
        let now = self.core.clock.now();
        let notices = self.change(|cluster| {
            if !cluster.containers.contains_key(&vmid) {
                return Err(unknown(vmid));
            }
            let mut notices = cluster.halt(vmid, now);
            cluster.note(now, "destroy", vmid);
            cluster.containers.remove(&vmid);
            notices.push(Notice::Gone(vmid));
            Ok(notices)
        })?;
        for notice in notices {
            self.notify(notice).await;
        }
        Ok(json!({"removed": vmid}))
    }

    fn add_token(&self, edit: TokenEdit) -> Result<Value, ControlError> {
        let well_formed = edit.id.split_once('!').is_some_and(|(user, id)| user.contains('@') && !id.is_empty());
        if !well_formed {
            return Err(ControlError::Invalid(format!("`{}` is not of the form user@realm!id", edit.id)));
        }
        let token = Token { id: edit.id, secret: Uuid::new_v4().to_string(), acl: edit.acl };
        let answer = json!({"token": format!("{}={}", token.id, token.secret)});
        self.change(|cluster| {
            cluster.tokens.retain(|other| other.id != token.id);
            if cluster.tokens.len() >= MAX_TOKENS {
                return Err(ControlError::Invalid(format!("there are {MAX_TOKENS} tokens already")));
            }
            cluster.tokens.push(token);
            Ok(answer)
        })
    }

    fn revoke_token(&self, id: &str) -> Result<Value, ControlError> {
        let removed = self.change(|cluster| {
            let before = cluster.tokens.len();
            cluster.tokens.retain(|token| token.id != id);
            before - cluster.tokens.len()
        });
        if removed == 0 { Err(ControlError::Unknown(format!("token {id}"))) } else { Ok(json!({"removed": removed})) }
    }
}

fn number(text: &str) -> Result<u32, ControlError> {
    text.parse().map_err(|_| ControlError::Invalid(format!("`{text}` is not a VMID")))
}

fn unknown(vmid: u32) -> ControlError {
    ControlError::Unknown(format!("container {vmid}"))
}
