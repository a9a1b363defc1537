//! Reading the cluster and its nodes.

use serde_json::{Value, json};

use super::super::Proxmox;
use super::super::answer::{Answer, Refusal};
use super::super::api::Call;
use super::super::model::{CONTAINER_STORAGE, Cluster};
use super::super::view;

const GIB: u64 = 1 << 30;
const NODE_MEMORY: u64 = 128 * GIB;
const NODE_CORES: u64 = 32;
const STORAGE_SIZE: u64 = 2048 * GIB;
const NODE_UPTIME: u64 = 1_000_000;
/// The lowest VMID `nextid` offers.
const FIRST_VMID: u32 = 100;

impl Proxmox {
    /// The release.
    pub(super) fn version(&self) -> Answer {
        let profile = self.profile();
        json!({"version": profile.version(), "release": profile.as_str(), "repoid": "5ed4c2e5"}).into()
    }

    /// A free VMID, as text; nothing is reserved.
    pub(super) fn next_id(&self, call: &Call) -> Result<Answer, Refusal> {
        let cluster = self.cluster();
        if let Some(vmid) = call.params.get("vmid") {
            return match cluster.demand_unused(call.params.vmid()) {
                Err(_) => Err(Refusal::parameter("vmid", format!("VM {vmid} already exists"))),
                Ok(()) => Ok(json!(vmid).into()),
            };
        }
        let free = (FIRST_VMID..1_000_000).find(|vmid| cluster.demand_unused(*vmid).is_ok());
        free.map(|vmid| json!(vmid.to_string()).into()).ok_or_else(|| Refusal::died("unable to get any free VMID"))
    }

    /// Everything in the cluster, as the status daemons have reported it.
    pub(super) fn resources(&self, call: &Call) -> Answer {
        let cluster = self.cluster();
        let wanted = |kind: &str| call.params.get("type").is_none_or(|wanted| wanted == kind);
        let mut rows: Vec<Value> = Vec::new();
        if wanted("vm") {
            let seen = |vmid: u32| cluster.may(&call.token, &format!("/vms/{vmid}"), &["VM.Audit"]);
            let containers = cluster.containers.values().filter(|ct| seen(ct.vmid));
            rows.extend(containers.map(|container| view::resource(container, &cluster)));
            let online = |node: &str| cluster.nodes.get(node).is_some_and(|node| node.online);
            let guests = cluster.qemu.iter().filter(|(vmid, _)| seen(**vmid));
            rows.extend(guests.map(|(vmid, guest)| guest.resource(*vmid, online(&guest.node))));
        }
        for (name, node) in &cluster.nodes {
            if wanted("node") {
                let mut row = node_row(&cluster, name);
                if let Some(fields) = row.as_object_mut() {
                    fields.insert("id".to_owned(), json!(format!("node/{name}")));
                }
                rows.push(row);
            }
            if wanted("storage") {
                let status = if node.online { "available" } else { "unknown" };
                rows.extend(["local", CONTAINER_STORAGE].map(|storage| {
                    json!({
                        "id": format!("storage/{name}/{storage}"), "type": "storage", "node": name,
                        "storage": storage, "status": status, "shared": 0,
                        "disk": used(&cluster, name), "maxdisk": STORAGE_SIZE,
                    })
                }));
            }
        }
        json!(rows).into()
    }

    /// Membership and quorum.
    pub(super) fn cluster_status(&self, call: &Call) -> Answer {
        let cluster = self.cluster();
        let mut rows = vec![json!({
            "type": "cluster", "id": "cluster", "name": "sim", "nodes": cluster.nodes.len(), "quorate": u8::from(self.is_quorate(call)),
            "version": 2,
        })];
        rows.extend(cluster.nodes.iter().enumerate().map(|(index, (name, node))| {
            json!({
                "type": "node", "id": format!("node/{name}"), "name": name, "ip": format!("192.0.2.{}", index + 1),
                "online": u8::from(node.online), "local": u8::from(index == 0), "nodeid": index + 1, "level": "",
            })
        }));
        json!(rows).into()
    }

    /// The nodes; figures only with Sys.Audit.
    pub(super) fn node_list(&self, call: &Call) -> Answer {
        let cluster = self.cluster();
        let rows = cluster.nodes.keys().map(|name| {
            let full = node_row(&cluster, name);
            if cluster.may(&call.token, &format!("/nodes/{name}"), &["Sys.Audit"]) {
                return full;
            }
            json!({"node": name, "id": format!("node/{name}"), "type": "node", "status": full.get("status")})
        });
        json!(rows.collect::<Vec<_>>()).into()
    }

    /// One node.
    pub(super) fn node_status(&self, call: &Call) -> Answer {
        let cluster = self.cluster();
        let memory = memory_in_use(&cluster, call.node());
        let version = format!("pve-manager/{}/5ed4c2e5", self.profile().version());
        json!({
            "uptime": NODE_UPTIME,
            "cpu": 0.031,
            "cpuinfo": {"cpus": NODE_CORES, "cores": NODE_CORES / 2, "sockets": 1, "model": "simulated"},
            "memory": {"total": NODE_MEMORY, "used": memory, "free": NODE_MEMORY.saturating_sub(memory)},
            "rootfs": {"total": STORAGE_SIZE, "used": 8 * GIB, "free": STORAGE_SIZE - 8 * GIB, "avail": STORAGE_SIZE - 8 * GIB},
            "loadavg": ["0.12", "0.10", "0.08"],
            "pveversion": version,
        })
        .into()
    }

    /// The clock of a node.
    pub(super) fn node_time(&self) -> Answer {
        let seconds = self.core.clock.now().seconds();
        json!({"timezone": "UTC", "time": seconds, "localtime": seconds}).into()
    }

    /// One storage of the node in the path.
    pub(super) fn storage_row(&self, call: &Call, storage: &str) -> Value {
        let used = used(&self.cluster(), call.node());
        let (kind, content) =
            if storage == "local" { ("dir", "backup,iso,vztmpl") } else { ("zfspool", "images,rootdir") };
        json!({
            "storage": storage, "type": kind, "content": content, "active": 1, "enabled": 1, "shared": 0,
            "total": STORAGE_SIZE, "used": used, "avail": STORAGE_SIZE.saturating_sub(used),
        })
    }
}

fn node_row(cluster: &Cluster, name: &str) -> Value {
    if !cluster.nodes.get(name).is_some_and(|node| node.online) {
        return json!({"node": name, "type": "node", "status": "offline"});
    }
    json!({
        "node": name, "type": "node", "status": "online", "uptime": NODE_UPTIME, "level": "",
        "cpu": 0.031, "maxcpu": NODE_CORES, "mem": memory_in_use(cluster, name), "maxmem": NODE_MEMORY,
        "disk": 8 * GIB, "maxdisk": STORAGE_SIZE,
    })
}

fn memory_in_use(cluster: &Cluster, node: &str) -> u64 {
    let running = cluster.containers.values().filter(|ct| ct.node == node && ct.run.is_some());
    2 * GIB + running.map(|container| container.memory() << 18).sum::<u64>()
}

fn used(cluster: &Cluster, node: &str) -> u64 {
    if cluster.nodes.get(node).is_some_and(|node| node.storage_full) {
        return STORAGE_SIZE;
    }
    let here = cluster.containers.values().filter(|ct| ct.node == node);
    here.map(|container| container.root_size_gib() * GIB / 4).sum()
}
