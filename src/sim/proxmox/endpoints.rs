//! What a request to the listener of one node meets: the condition of that node, and of the node in the path.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Proxmox;
use super::answer::Refusal;
use super::api::Call;
use super::condition::{AUTHORITY, Condition, FIRST_NODE, LISTENERS, NOT_CHECKED};
use super::model::Cluster;
use super::task::Job;
use crate::sim::peer::ControlError;
use crate::sim::wire::Identity;

/// A change of a node's condition.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConditionEdit {
    condition: Condition,
}

const NO_QUORUM: &str = "cluster not ready - no quorum?";

impl Proxmox {
    /// The keys of the plain listeners beside the one of the peer itself.
    pub fn plain_endpoints(&self) -> impl Iterator<Item = &'static str> {
        LISTENERS.into_iter().filter(|(_, _, tls)| !tls).map(|(key, _, _)| key)
    }

    /// The keys of the TLS listeners, in the order of their nodes.
    pub fn tls_endpoints(&self) -> impl Iterator<Item = &'static str> {
        LISTENERS.into_iter().filter(|(_, _, tls)| *tls).map(|(key, _, _)| key)
    }

    /// The certificate of the cluster's authority, as PEM text.
    pub fn authority(&self) -> &'static str {
        AUTHORITY
    }

    /// The SHA-256 of a node's certificate, as `pvenode cert info` shows it.
    pub fn fingerprint(&self, node: &str) -> Option<&str> {
        self.endpoints.identity(node).map(Identity::fingerprint)
    }

    /// The condition of the node whose listener a request was sent to.
    pub(super) fn condition_at(&self, endpoint: &str) -> Condition {
        self.endpoints.condition(if endpoint.is_empty() { FIRST_NODE } else { endpoint })
    }

    /// Whether the node that answers `call` has quorum.
    pub(super) fn is_quorate(&self, call: &Call) -> bool {
        self.condition_at(call.endpoint) != Condition::NoQuorum
    }

    /// Whether the node at `endpoint` can pass a request on to `owner`, and whether that node can check it.
    pub(super) fn can_pass_on(&self, endpoint: &str, owner: &str) -> Result<(), Refusal> {
        let endpoint = if endpoint.is_empty() { FIRST_NODE } else { endpoint };
        if owner != endpoint && self.endpoints.condition(endpoint) == Condition::CutOff {
            return Err(Refusal::Gateway(595, "No route to host".to_owned()));
        }
        match self.endpoints.condition(owner) {
            Condition::DeadPmxcfs => Err(Refusal::Transport(500, NOT_CHECKED.to_owned())),
            _ => Ok(()),
        }
    }

    /// The refusal of a node without quorum. Some methods check it; the others get as far as their first write.
    pub(super) fn check_quorum(&self, call: &Call) -> Result<(), Refusal> {
        let asked = if call.endpoint.is_empty() { FIRST_NODE } else { call.endpoint };
        let node = call.params.get("node").unwrap_or(asked);
        if self.endpoints.condition(node) != Condition::NoQuorum {
            return Ok(());
        }
        let cluster = self.cluster();
        let container = call.params.get("vmid").and_then(|_| cluster.containers.get(&call.vmid()));
        let container = container.filter(|container| container.node == node);
        match (call.method.as_str(), call.template.strip_prefix("/nodes/{node}").unwrap_or(&call.template)) {
            ("POST", "/lxc" | "/lxc/{vmid}/clone") => Err(Refusal::died(NO_QUORUM)),
            ("POST", "/lxc/{vmid}/status/start") if container.is_some_and(|container| container.run.is_none()) => {
                Err(Refusal::died(NO_QUORUM))
            }
            ("PUT", "/lxc/{vmid}/config") if container.is_some_and(|container| container.lock_refusal().is_none()) => {
                Err(Refusal::Died(read_only(&config_file(node, call.vmid()))))
            }
            ("PUT", "/pools" | "/pools/{poolid}") => {
                Err(Refusal::died("update pools failed: error with cfs lock 'file-user_cfg': no quorum!"))
            }
            _ => Ok(()),
        }
    }

    /// The error of a task at its first write to `/etc/pve`, on a node without quorum. A destruction has stopped the
    /// container by then.
    pub(super) fn first_write(&self, node: &str, job: &Job) -> Result<(), String> {
        if self.endpoints.condition(node) != Condition::NoQuorum {
            return Ok(());
        }
        match job {
            Job::Destroy { vmid, .. }
            | Job::Resize { vmid, .. }
            | Job::Snapshot { vmid, .. }
            | Job::DeleteSnapshot { vmid, .. }
            | Job::Rollback { vmid, .. }
            | Job::Template { vmid } => Err(read_only(&config_file(node, *vmid))),
            Job::Backup { .. } => Err("job errors".to_owned()),
            Job::Clone { .. }
            | Job::Create { .. }
            | Job::Start { .. }
            | Job::Stop { .. }
            | Job::Shutdown { .. }
            | Job::Reboot { .. }
            | Job::Suspend { .. }
            | Job::Resume { .. }
            | Job::HaRequest { .. } => Ok(()),
        }
    }

    /// Changes the condition of a node.
    pub(super) fn edit_condition(&self, node: &str, edit: ConditionEdit) -> Result<Value, ControlError> {
        let known = |cluster: &Cluster| cluster.nodes.contains_key(node);
        if !known(&self.cluster()) {
            return Err(ControlError::Unknown(format!("node {node}")));
        }
        self.endpoints.set(node, edit.condition);
        Ok(json!({"node": node, "condition": edit.condition}))
    }
}

/// The temporary file that replaces a configuration.
fn config_file(node: &str, vmid: u32) -> String {
    format!("/etc/pve/nodes/{node}/lxc/{vmid}.conf.tmp.{}", 1000 + vmid)
}

fn read_only(path: &str) -> String {
    format!("unable to open file '{path}' - Permission denied")
}
