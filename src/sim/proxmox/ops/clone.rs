//! `POST …/clone`.

use serde_json::json;

use super::super::Proxmox;
use super::super::answer::{Answer, Refusal};
use super::super::api::Call;
use super::super::model::{CONTAINER_STORAGE, Cluster, Container};
use super::super::net::NetOption;
use super::super::task::Job;
use crate::kernel::Timestamp;

/// Options that a clone does not copy.
const DROPPED: [&str; 2] = ["template", "digest"];

impl Proxmox {
    /// Reserves the new VMID and locks the source at once; copying is a task named after the source. The checks are in the
    /// order of PVE::API2::LXC: parameters, the lock of the source, the new number, what is cloned.
    pub(super) async fn clone_container(&self, call: &Call) -> Result<Answer, Refusal> {
        let (node, source) = (call.node(), call.vmid());
        let newid = call.params.number("newid").and_then(|id| u32::try_from(id).ok()).unwrap_or(0);
        let target = call.params.get("target").filter(|target| *target != node && *target != "localhost");
        {
            let cluster = self.cluster();
            cluster.demand_allocate(&call.token, u64::from(newid), call.params.get("pool"))?;
            check_target(&cluster, call.params.get("storage"), target)?;
        }
        let _flock = self.flocks.take(source).await.map_err(|error| Refusal::died(error.to_string()))?;
        let now = self.core.clock.now();
        let upid = self.change(|cluster| {
            let original = cluster.on_node(node, source).map_err(Refusal::Died)?.clone();
            if let Some(refusal) = original.lock_refusal() {
                return Err(Refusal::Died(refusal));
            }
            cluster.demand_unused(newid).map_err(Refusal::Died)?;
            cluster.demand_room(newid).map_err(Refusal::Died)?;
            self.check_clone(cluster, call, &original, target)?;
            cluster.on_node(node, source).map_err(Refusal::Died)?.lock = Some("disk".to_owned());
            reserve(cluster, call, &original, newid, now);
            cluster.note(now, "clone", newid);
            let job = Job::Clone {
                source,
                newid,
                full: is_full(call, &original),
                pool: call.params.get("pool").map(str::to_owned),
                target: target.map(str::to_owned),
            };
            Ok(cluster.tasks.begin(node, &call.token.id, job, now))
        })?;
        self.launch(upid.clone(), None);
        Ok(json!(upid).into())
    }

    /// What is found out once the source is locked: the options are checked in the order of their names.
    fn check_clone(
        &self,
        cluster: &Cluster,
        call: &Call,
        original: &Container,
        target: Option<&str>,
    ) -> Result<(), Refusal> {
        let full = is_full(call, original);
        let (storage, snapname) = (call.params.get("storage"), call.params.get("snapname"));
        if storage.is_some() && !full {
            return Err(Refusal::died("parameter 'storage' not allowed for linked clones"));
        }
        if let Some(name) = snapname.filter(|name| !original.snapshots.iter().any(|known| known.name == *name)) {
            return Err(Refusal::died(format!("snapshot '{name}' does not exist")));
        }
        if let Some(net) = original.net0() {
            cluster.demand_bridge(&call.token, &net)?;
        }
        let target_storage = storage.unwrap_or(CONTAINER_STORAGE);
        cluster.demand(&call.token, &format!("/storage/{target_storage}"), &["Datastore.AllocateSpace"])?;
        if full && original.run.is_some() && snapname.is_none() {
            let text = if self.profile().unprivileged_by_default() {
                "Full clone of a running container is only possible from a snapshot"
            } else {
                "Cannot do full clones on a running container without snapshots"
            };
            return Err(Refusal::died(text));
        }
        if !full && !original.is_template() {
            let volume = original.root_volume();
            return Err(Refusal::died(format!("Linked clone feature for '{volume}' is not available")));
        }
        match target {
            Some(target) => Err(Refusal::died(format!("can't clone CT to node '{target}' (CT uses local storage)"))),
            None => Ok(()),
        }
    }
}

/// Target and storage as parameters; no storage of this cluster is shared.
fn check_target(cluster: &Cluster, storage: Option<&str>, target: Option<&str>) -> Result<(), Refusal> {
    if let Some(target) = target.filter(|target| !cluster.nodes.contains_key(*target)) {
        return Err(Refusal::died(format!("no such cluster node '{target}'")));
    }
    match (storage, target) {
        (None, _) | (Some(CONTAINER_STORAGE), None) => Ok(()),
        (Some(storage @ (CONTAINER_STORAGE | "local")), Some(_)) => {
            Err(Refusal::died(format!("can't clone to non-shared storage '{storage}'")))
        }
        (Some("local"), None) => Err(Refusal::died("storage 'local' does not support container directories")),
        (Some(other), _) => Err(Refusal::died(format!("storage '{other}' does not exist"))),
    }
}

/// A template is cloned linked by default, any other container in full.
fn is_full(call: &Call, original: &Container) -> bool {
    call.params.choice("full").unwrap_or(!original.is_template())
}

/// Reserves the new container, locked until the task is done. The task writes its configuration.
fn reserve(cluster: &mut Cluster, call: &Call, original: &Container, newid: u32, now: Timestamp) {
    let snapshot = call.params.get("snapname").and_then(|name| original.snapshots.iter().find(|s| s.name == name));
    let mut config = snapshot.map_or_else(|| original.config.clone(), |snapshot| snapshot.config.clone());
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
