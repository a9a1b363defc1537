//! `POST …/clone`.

use serde_json::json;

use super::super::Proxmox;
use super::super::answer::{Answer, Refusal};
use super::super::api::Call;
use super::super::effects::no_config;
use super::super::model::{CONTAINER_STORAGE, Cluster, Container};
use super::super::net::NetOption;
use super::super::task::Job;
use crate::kernel::Timestamp;

/// Options that a clone does not copy.
const DROPPED: [&str; 2] = ["template", "digest"];

impl Proxmox {
    /// Reserves the new VMID and locks the source at once; copying is a task named after the source.
    pub(super) async fn clone_container(&self, call: &Call) -> Result<Answer, Refusal> {
        let (node, source) = (call.node(), call.vmid());
        let newid = call.params.number("newid").and_then(|id| u32::try_from(id).ok()).unwrap_or(0);
        self.cluster().demand_allocate(&call.token, u64::from(newid), call.params.get("pool"))?;
        self.check_clone(&self.cluster(), call, newid)?;
        let _flock = self.flocks.take(source).await.map_err(|error| Refusal::died(error.to_string()))?;
        let now = self.core.clock.now();
        let upid = self.change(|cluster| {
            // Checked again under the lock: another clone may have been faster.
            self.check_clone(cluster, call, newid)?;
            let container = cluster.on_node(node, source).map_err(Refusal::Died)?;
            if let Some(refusal) = container.lock_refusal() {
                return Err(Refusal::Died(refusal));
            }
            container.lock = Some("disk".to_owned());
            let original = container.clone();
            reserve(cluster, call, &original, newid, now);
            cluster.note(now, "clone", newid);
            let job = Job::Clone {
                source,
                newid,
                full: is_full(call, &original),
                pool: call.params.get("pool").map(str::to_owned),
                target: call.params.get("target").map(str::to_owned),
            };
            Ok(cluster.tasks.begin(node, &call.token.id, job, now))
        })?;
        self.launch(upid.clone(), None);
        Ok(json!(upid).into())
    }

    fn check_clone(&self, cluster: &Cluster, call: &Call, newid: u32) -> Result<(), Refusal> {
        let (node, source) = (call.node(), call.vmid());
        if let Some(taken) = cluster.containers.get(&newid) {
            return Err(Refusal::died(format!("CT {newid} already exists on node '{}'", taken.node)));
        }
        cluster.demand_room(newid).map_err(Refusal::Died)?;
        let original = cluster.containers.get(&source).filter(|ct| ct.node == node);
        let original = original.ok_or_else(|| Refusal::died(no_config(node, source)))?;
        if let Some(net) = original.net0() {
            cluster.demand_bridge(&call.token, &net)?;
        }
        let storage = call.params.get("storage");
        let target_storage = storage.unwrap_or(CONTAINER_STORAGE);
        cluster.demand(&call.token, &format!("/storage/{target_storage}"), &["Datastore.AllocateSpace"])?;
        let full = is_full(call, original);
        if let Some(storage) = storage {
            if !full {
                return Err(Refusal::died("parameter 'storage' not allowed for linked clones"));
            }
            match storage {
                CONTAINER_STORAGE => {}
                "local" => return Err(Refusal::died("storage 'local' does not support container directories")),
                other => return Err(Refusal::died(format!("storage '{other}' does not exist"))),
            }
        }
        if !full && !original.is_template() {
            let volume = original.root_volume();
            return Err(Refusal::died(format!("Linked clone feature for '{volume}' is not available")));
        }
        if full && original.run.is_some() && call.params.get("snapname").is_none() {
            let text = if self.profile().unprivileged_by_default() {
                "Full clone of a running container is only possible from a snapshot"
            } else {
                "Cannot do full clones on a running container without snapshots"
            };
            return Err(Refusal::died(text));
        }
        match call.params.get("target").filter(|target| *target != node) {
            Some(target) => Err(Refusal::died(format!("can't clone CT to node '{target}' (CT uses local storage)"))),
            None => Ok(()),
        }
    }
}

/// A template is cloned linked by default, any other container in full.
fn is_full(call: &Call, original: &Container) -> bool {
    call.params.choice("full").unwrap_or(!original.is_template())
}

/// Reserves the new container, locked until the task is done. The task writes its configuration.
fn reserve(cluster: &mut Cluster, call: &Call, original: &Container, newid: u32, now: Timestamp) {
    let mut config = original.config.clone();
    DROPPED.iter().for_each(|option| {
        config.remove(*option);
    });
    for (option, value) in &mut config {
        if option.starts_with("net") && option.bytes().skip(3).all(|b| b.is_ascii_digit()) {
            *value = NetOption::parse(value).with_random_mac().to_string();
        }
    }
    for option in ["hostname", "description"] {
        if let Some(value) = call.params.get(option) {
            config.insert(option.to_owned(), value.to_owned());
        }
    }
    let size = original.root_size_gib();
    let volume = if is_full(call, original) {
        format!("{CONTAINER_STORAGE}:subvol-{newid}-disk-0,size={size}G")
    } else {
        format!("{}/subvol-{newid}-disk-0,size={size}G", original.root_volume())
    };
    config.insert("rootfs".to_owned(), volume);
    let container = cluster.new_container(newid, call.node(), config, now);
    cluster.containers.insert(newid, Container { lock: Some("create".to_owned()), reserved: true, ..container });
}
