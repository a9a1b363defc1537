//! `POST …/lxc`: create from an archive, or restore a backup under a new VMID.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::Proxmox;
use super::super::answer::{Answer, Refusal};
use super::super::api::Call;
use super::super::model::{CONTAINER_STORAGE, Cluster, Container};
use super::super::net::NetOption;
use super::super::task::Job;
use super::options::stored;

/// Parameters of the call that are not options of the container.
const NO_OPTIONS: [&str; 16] = [
    "node",
    "vmid",
    "ostemplate",
    "storage",
    "pool",
    "start",
    "restore",
    "force",
    "unique",
    "password",
    "ssh-public-keys",
    "bwlimit",
    "ignore-unpack-errors",
    "rootfs",
    "ha-managed",
    "template",
];
/// The archives on the storage `local`.
pub const ARCHIVE: &str = "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst";

impl Proxmox {
    /// Reserves the VMID at once; unpacking is a task.
    pub(super) async fn create_container(&self, call: &Call) -> Result<Answer, Refusal> {
        let (node, vmid) = (call.node(), call.vmid());
        let pool = call.params.get("pool");
        let restored = call.params.flag("restore");
        let storage = call.params.get("storage").unwrap_or("local").to_owned();
        self.cluster().demand_allocate(&call.token, u64::from(vmid), pool)?;
        self.cluster().demand(&call.token, &format!("/storage/{storage}"), &["Datastore.AllocateSpace"])?;
        let unprivileged = call.params.choice("unprivileged").unwrap_or(self.profile().unprivileged_by_default());
        if !unprivileged && self.profile().unprivileged_by_default() {
            self.cluster().demand(&call.token, "/", &["Sys.Modify"])?;
        }
        if storage != CONTAINER_STORAGE {
            let text = format!("storage '{storage}' does not support container directories");
            return Err(Refusal::Died(text));
        }
        let _flock = self.flocks.take(vmid).await.map_err(|error| Refusal::died(error.to_string()))?;
        let now = self.core.clock.now();
        let upid = self.change(|cluster| {
            let taken = |text| Refusal::Died(format!("unable to create CT {vmid} - {text}"));
            cluster.demand_unused(vmid).map_err(taken)?;
            cluster.demand_room(vmid).map_err(Refusal::Died)?;
            let mut config = starting_config(cluster, call, restored)?;
            config.insert("unprivileged".to_owned(), u8::from(unprivileged).to_string());
            for (name, value) in call.params.iter().filter(|(name, _)| !NO_OPTIONS.contains(name)) {
                if name.starts_with("net") && name != "nameserver" {
                    cluster.demand_bridge(&call.token, &NetOption::parse(value))?;
                }
                config.insert(name.to_owned(), stored(name, value));
            }
            let size = call.params.get("rootfs").and_then(|text| text.rsplit([':', '=']).next()).unwrap_or("4");
            let size: u32 = size.trim_end_matches('G').parse().unwrap_or(4);
            let volume = format!("{CONTAINER_STORAGE}:subvol-{vmid}-disk-0,size={size}G");
            config.insert("rootfs".to_owned(), volume);
            let container = cluster.new_container(vmid, node, config, now);
            cluster.containers.insert(vmid, Container { lock: Some("create".to_owned()), ..container });
            let job = Job::Create { vmid, pool: pool.map(str::to_owned), start: call.params.flag("start"), restored };
            Ok(cluster.tasks.begin(node, &call.token.id, job, now))
        })?;
        self.launch(upid.clone(), None);
        Ok(json!(upid).into())
    }
}

fn starting_config(cluster: &Cluster, call: &Call, restored: bool) -> Result<BTreeMap<String, String>, Refusal> {
    let archive = call.params.text("ostemplate");
    let missing = || Refusal::died(format!("volume '{archive}' does not exist"));
    if restored {
        let backup = cluster.backups.iter().find(|backup| backup.volid == archive);
        return backup.map(|backup| backup.config.clone()).ok_or_else(missing);
    }
    if archive != ARCHIVE {
        return Err(missing());
    }
    let defaults = [("arch", "amd64"), ("memory", "512"), ("swap", "512"), ("ostype", "debian")];
    Ok(defaults.map(|(key, value)| (key.to_owned(), value.to_owned())).into())
}
