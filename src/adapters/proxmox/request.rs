//! Every request of the client: method, path and parameters. Pure, so that a test can check each one against the
//! published schema of the API.

use super::label::{Access, RequestLabel};
use super::settings::Cloning;
use super::upid::Upid;
use crate::adapters::http::Method;
use crate::kernel::VmId;
use crate::ports::{CloneRequest, ContainerSettings, NodeName};

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) label: RequestLabel,
    pub(super) method: Method,
    /// The path below `/api2/json`, one entry per segment.
    pub(super) path: Vec<String>,
    /// Sent in the query of a GET or DELETE, otherwise as a form.
    pub(super) parameters: Vec<(&'static str, String)>,
    /// The node that has to answer; `None` for any node.
    pub(super) node: Option<NodeName>,
}

impl Request {
    fn of_cluster(label: RequestLabel, path: &[&str]) -> Self {
        Self {
            label,
            method: Method::Get,
            path: path.iter().map(|segment| (*segment).to_owned()).collect(),
            parameters: Vec::new(),
            node: None,
        }
    }

    fn of_node(label: RequestLabel, method: Method, node: &NodeName, path: &[&str]) -> Self {
        let path = ["nodes", node.as_str()].into_iter().chain(path.iter().copied());
        Self {
            label,
            method,
            path: path.map(str::to_owned).collect(),
            parameters: Vec::new(),
            node: Some(node.clone()),
        }
    }

    fn of_container(label: RequestLabel, method: Method, node: &NodeName, vmid: VmId, path: &[&str]) -> Self {
        let vmid = vmid.to_string();
        let mut whole = vec!["lxc", vmid.as_str()];
        whole.extend(path);
        Self::of_node(label, method, node, &whole)
    }

    fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.parameters.push((name, value.to_string()));
        self
    }

    /// Whether it is a write.
    pub(super) fn changes(&self) -> bool {
        self.label.access() == Access::Write
    }
}

pub(super) fn version() -> Request {
    Request::of_cluster(RequestLabel::read("read the version"), &["version"])
}

pub(super) fn nodes() -> Request {
    Request::of_cluster(RequestLabel::read("list nodes"), &["nodes"])
}

pub(super) fn containers() -> Request {
    Request::of_cluster(RequestLabel::read("list containers"), &["cluster", "resources"]).with("type", "vm")
}

pub(super) fn permissions(path: &str) -> Request {
    let label = RequestLabel::read(format!("read the permissions on {path}"));
    Request::of_cluster(label, &["access", "permissions"]).with("path", path)
}

pub(super) fn pools() -> Request {
    Request::of_cluster(RequestLabel::read("list pools"), &["pools"])
}

pub(super) fn cluster_status() -> Request {
    Request::of_cluster(RequestLabel::read("read the state of the cluster"), &["cluster", "status"])
}

pub(super) fn storages(node: &NodeName, storage: &str) -> Request {
    let label = RequestLabel::read(format!("read storage {storage} on {node}"));
    Request::of_node(label, Method::Get, node, &["storage"]).with("storage", storage)
}

pub(super) fn bridges(node: &NodeName) -> Request {
    let label = RequestLabel::read(format!("list the bridges of {node}"));
    Request::of_node(label, Method::Get, node, &["network"]).with("type", "any_bridge")
}

pub(super) fn next_id(vmid: VmId) -> Request {
    let label = RequestLabel::read(format!("check whether {vmid} is free")).claiming(vmid);
    Request::of_cluster(label, &["cluster", "nextid"]).with("vmid", vmid)
}

pub(super) fn config(node: &NodeName, vmid: VmId) -> Request {
    let label = RequestLabel::read(format!("read the configuration of {vmid} on {node}"));
    Request::of_container(label, Method::Get, node, vmid, &["config"])
}

pub(super) fn pending(node: &NodeName, vmid: VmId) -> Request {
    let label = RequestLabel::read(format!("read the pending options of {vmid} on {node}"));
    Request::of_container(label, Method::Get, node, vmid, &["pending"])
}

pub(super) fn power(node: &NodeName, vmid: VmId) -> Request {
    let label = RequestLabel::read(format!("read the power state of {vmid} on {node}"));
    Request::of_container(label, Method::Get, node, vmid, &["status", "current"])
}

pub(super) fn interfaces(node: &NodeName, vmid: VmId) -> Request {
    let label = RequestLabel::read(format!("read the addresses of {vmid} on {node}"));
    Request::of_container(label, Method::Get, node, vmid, &["interfaces"])
}

pub(super) fn active_clones(node: &NodeName, template: VmId) -> Request {
    let label = RequestLabel::read(format!("list running clones of {template} on {node}"));
    Request::of_node(label, Method::Get, node, &["tasks"])
        .with("source", "active")
        .with("typefilter", "vzclone")
        .with("vmid", template)
}

pub(super) fn task(upid: &Upid) -> Request {
    let label = RequestLabel::read(format!("read the state of task {}", upid.as_str()));
    Request::of_node(label, Method::Get, upid.node(), &["tasks", upid.as_str(), "status"])
}

pub(super) fn task_log(upid: &Upid) -> Request {
    let label = RequestLabel::read(format!("read the log of task {}", upid.as_str()));
    Request::of_node(label, Method::Get, upid.node(), &["tasks", upid.as_str(), "log"]).with("limit", 1000)
}

pub(super) fn clone(wanted: &CloneRequest, cloning: &Cloning) -> Request {
    let CloneRequest { node, template, vmid, hostname, description, pool } = wanted;
    let label = RequestLabel::write(format!("clone {template} to {vmid} on {node}")).claiming(*vmid);
    let mut request = Request::of_container(label, Method::Post, node, *template, &["clone"])
        .with("newid", vmid)
        .with("hostname", hostname)
        .with("description", description);
    if let Some(pool) = pool {
        request = request.with("pool", pool);
    }
    match cloning {
        Cloning::Linked => request.with("full", 0),
        Cloning::Full { storage: None } => request.with("full", 1),
        Cloning::Full { storage: Some(storage) } => request.with("full", 1).with("storage", storage),
    }
}

pub(super) fn configure(node: &NodeName, vmid: VmId, settings: &ContainerSettings) -> Request {
    let ContainerSettings { hostname, memory_mib, swap_mib, cores, bridge, mac, tags, start_on_boot, description } =
        settings;
    let label = RequestLabel::write(format!("configure {vmid} on {node}"));
    let request = Request::of_container(label, Method::Put, node, vmid, &["config"])
        .with("hostname", hostname)
        .with("memory", memory_mib)
        .with("swap", swap_mib)
        .with("cores", cores)
        .with("net0", format!("name=eth0,bridge={bridge},hwaddr={mac},ip=dhcp,type=veth"))
        .with("onboot", u8::from(*start_on_boot))
        .with("description", description);
    if tags.is_empty() { request.with("delete", "tags") } else { request.with("tags", tags.join(";")) }
}

pub(super) fn start(node: &NodeName, vmid: VmId) -> Request {
    let label = RequestLabel::write(format!("start {vmid} on {node}"));
    Request::of_container(label, Method::Post, node, vmid, &["status", "start"])
}

pub(super) fn stop(node: &NodeName, vmid: VmId) -> Request {
    let label = RequestLabel::write(format!("stop {vmid} on {node}"));
    Request::of_container(label, Method::Post, node, vmid, &["status", "stop"])
}

pub(super) fn shutdown(node: &NodeName, vmid: VmId, timeout_s: u32) -> Request {
    let label = RequestLabel::write(format!("shut {vmid} down on {node}"));
    Request::of_container(label, Method::Post, node, vmid, &["status", "shutdown"]).with("timeout", timeout_s)
}

pub(super) fn destroy(node: &NodeName, vmid: VmId) -> Request {
    let label = RequestLabel::write(format!("destroy {vmid} on {node}"));
    Request::of_container(label, Method::Delete, node, vmid, &[])
        .with("force", 1)
        .with("purge", 1)
        .with("destroy-unreferenced-disks", 1)
}
