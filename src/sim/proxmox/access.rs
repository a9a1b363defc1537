//! Authentication and permissions.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::answer::Refusal;
use super::model::Cluster;
use super::profile::PveProfile;
use crate::sim::wire::{SimRequest, percent_decode};

/// The privileges of a control plane on every container, pool, storage and bridge.
pub const CONTROL_PLANE: [&str; 22] = [
    "Datastore.AllocateSpace",
    "Datastore.Audit",
    "Pool.Allocate",
    "Pool.Audit",
    "SDN.Audit",
    "SDN.Use",
    "Sys.Audit",
    "VM.Allocate",
    "VM.Audit",
    "VM.Backup",
    "VM.Clone",
    "VM.Config.CDROM",
    "VM.Config.CPU",
    "VM.Config.Disk",
    "VM.Config.HWType",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.Migrate",
    "VM.PowerMgmt",
    "VM.Snapshot",
    "VM.Snapshot.Rollback",
];

/// An API token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Token {
    /// `user@realm!id`.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// Its privileges, by path; they also apply below the path.
    pub acl: Vec<AclEntry>,
}

/// Privileges on a path.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AclEntry {
    /// The path, such as `/` or `/pool/zpack`.
    pub path: String,
    /// The privileges, such as `VM.Audit`; all of a control plane when absent.
    #[serde(default = "control_plane")]
    pub privileges: BTreeSet<String>,
}

fn control_plane() -> BTreeSet<String> {
    CONTROL_PLANE.iter().map(|privilege| (*privilege).to_owned()).collect()
}

impl Token {
    /// A token with the privileges of a control plane on everything.
    pub fn control_plane(id: &str, secret: String) -> Self {
        let everywhere = AclEntry { path: "/".to_owned(), privileges: control_plane() };
        Self { id: id.to_owned(), secret, acl: vec![everywhere] }
    }

    /// The privileges on `path`: those of the nearest entry at or above it.
    fn privileges(&self, path: &str) -> BTreeSet<&str> {
        let covers = |entry: &&AclEntry| {
            entry.path == "/" || path == entry.path || path.starts_with(&format!("{}/", entry.path))
        };
        let nearest = self.acl.iter().filter(covers).max_by_key(|entry| entry.path.len());
        nearest.map(|entry| entry.privileges.iter().map(String::as_str).collect()).unwrap_or_default()
    }
}

/// Finds the token of a request.
pub fn authenticate(request: &SimRequest, cluster: &Cluster, profile: PveProfile) -> Result<Token, Refusal> {
    let refuse = |older: String| {
        let text = if profile.one_text_for_401() { "Authentication failed!".to_owned() } else { older };
        Refusal::Unauthorized(text)
    };
    let cookie = request.header("cookie").unwrap_or_default();
    if cookie.split(';').any(|pair| pair.trim_start().starts_with("PVEAuthCookie=")) {
        return Err(refuse("permission denied - invalid PVE ticket".to_owned()));
    }
    let header = request.header("authorization").unwrap_or_default();
    let Some(credentials) = header.strip_prefix("PVEAPIToken=") else {
        return Err(Refusal::Unauthorized("No ticket".to_owned()));
    };
    let credentials = percent_decode(credentials.split(';').next().unwrap_or_default());
    let Some((id, secret)) = credentials.rsplit_once('=') else {
        return Err(refuse("unable to parse API token".to_owned()));
    };
    let Some(token) = cluster.tokens.iter().find(|token| token.id == id) else {
        let (user, name) = id.split_once('!').unwrap_or((id, ""));
        return Err(refuse(format!("no such token '{name}' for user '{user}'")));
    };
    if token.secret != secret {
        return Err(refuse("invalid token value!".to_owned()));
    }
    Ok(token.clone())
}

impl Cluster {
    /// Whether `token` has any of `privileges` on `path`; those on the pool of a container count for the container.
    pub fn may(&self, token: &Token, path: &str, privileges: &[&str]) -> bool {
        let mut held = token.privileges(path);
        let vmid = path.strip_prefix("/vms/").and_then(|rest| rest.parse().ok());
        let pool = vmid.and_then(|vmid: u32| {
            let container = self.containers.get(&vmid).and_then(|container| container.pool.as_ref());
            container.or_else(|| self.qemu.get(&vmid).and_then(|guest| guest.pool.as_ref()))
        });
        if let Some(pool) = pool {
            held.extend(token.privileges(&format!("/pool/{pool}")));
        }
        privileges.iter().any(|privilege| held.contains(privilege))
    }

    /// Requires one of `privileges` on `path`.
    pub fn demand(&self, token: &Token, path: &str, privileges: &[&str]) -> Result<(), Refusal> {
        if self.may(token, path, privileges) {
            return Ok(());
        }
        Err(Refusal::Forbidden(format!("{path}, {}", privileges.join("|"))))
    }

    /// Requires the privilege to create container `vmid`: on its path or on the pool it joins.
    pub fn demand_allocate(&self, token: &Token, vmid: u64, pool: Option<&str>) -> Result<(), Refusal> {
        if let Some(pool) = pool.filter(|pool| !self.pools.contains_key(*pool)) {
            return Err(Refusal::Forbidden(format!("pool '{pool}' does not exist")));
        }
        let by_path = self.may(token, &format!("/vms/{vmid}"), &["VM.Allocate"]);
        let by_pool = pool.is_some_and(|pool| self.may(token, &format!("/pool/{pool}"), &["VM.Allocate"]));
        // An "or" rule that fails names no path.
        if by_path || by_pool { Ok(()) } else { Err(Refusal::Forbidden(String::new())) }
    }

    /// Requires the privilege to use a bridge.
    pub fn demand_bridge(&self, token: &Token, net: &super::net::NetOption) -> Result<(), Refusal> {
        let Some(bridge) = net.get("bridge") else { return Ok(()) };
        let path = match net.get("tag") {
            Some(tag) => format!("/sdn/zones/localnetwork/{bridge}/{tag}"),
            None => format!("/sdn/zones/localnetwork/{bridge}"),
        };
        self.demand(token, &path, &["SDN.Use"])
    }
}

/// The permission rule of a method, which is checked before its parameters and before the object exists.
pub fn check_rule(
    cluster: &Cluster,
    token: &Token,
    method: &str,
    template: &str,
    path_params: &BTreeMap<String, String>,
) -> Result<(), Refusal> {
    let part = |name: &str| path_params.get(name).map(String::as_str).unwrap_or_default();
    let vm = format!("/vms/{}", part("vmid"));
    let Some(rest) = template.strip_prefix("/nodes/{node}/lxc/{vmid}") else {
        return match (method, template) {
            ("GET", "/cluster/status" | "/cluster/ha/resources" | "/cluster/ha/resources/{sid}") => {
                cluster.demand(token, "/", &["Sys.Audit"])
            }
            ("GET", "/nodes/{node}/status" | "/nodes/{node}/time") => {
                cluster.demand(token, &format!("/nodes/{}", part("node")), &["Sys.Audit"])
            }
            ("GET", "/nodes/{node}/storage/{storage}/status" | "/nodes/{node}/storage/{storage}/content") => {
                let path = format!("/storage/{}", part("storage"));
                cluster.demand(token, &path, &["Datastore.Audit", "Datastore.AllocateSpace"])
            }
            _ => Ok(()),
        };
    };
    let privileges: &[&str] = match (method, rest) {
        ("DELETE", "") | ("POST", "/template") => &["VM.Allocate"],
        ("POST", "/clone") => &["VM.Clone"],
        ("PUT", "/config") => &[
            "VM.Config.Disk",
            "VM.Config.CPU",
            "VM.Config.Memory",
            "VM.Config.Network",
            "VM.Config.Cloudinit",
            "VM.Config.Options",
        ],
        ("PUT", "/resize") => &["VM.Config.Disk"],
        ("POST", "/snapshot") | ("DELETE", "/snapshot/{snapname}") => &["VM.Snapshot"],
        ("POST", "/snapshot/{snapname}/rollback") => &["VM.Snapshot", "VM.Snapshot.Rollback"],
        ("POST", power) if power.starts_with("/status/") => &["VM.PowerMgmt"],
        _ => &["VM.Audit"],
    };
    cluster.demand(token, &vm, privileges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Timestamp;

    fn pool_token() -> Token {
        let entry = |path: &str| AclEntry { path: path.to_owned(), privileges: control_plane() };
        Token {
            id: "zpack@pve!pool".into(),
            secret: "s".into(),
            acl: vec![entry("/pool/zpack"), entry("/storage/local-zfs"), entry("/sdn/zones/localnetwork/vmbr3")],
        }
    }

    #[test]
    fn a_pool_lends_its_rights_to_its_members_only() {
        let token = pool_token();
        let mut cluster = Cluster::fresh(token.clone(), Timestamp::from_millis(0));
        assert!(cluster.may(&token, "/vms/9000", &["VM.Clone"]));
        assert!(!cluster.may(&token, "/vms/5000", &["VM.Audit"]));
        cluster.containers.get_mut(&9000).unwrap().pool = None;
        assert_eq!(
            cluster.demand(&token, "/vms/9000", &["VM.Clone"]).unwrap_err().to_string(),
            "Permission check failed (/vms/9000, VM.Clone)"
        );
    }

    #[test]
    fn creating_needs_the_path_or_the_named_pool() {
        let token = pool_token();
        let cluster = Cluster::fresh(token.clone(), Timestamp::from_millis(0));
        assert!(cluster.demand_allocate(&token, 5000, Some("zpack")).is_ok());
        let without = cluster.demand_allocate(&token, 5000, None).unwrap_err();
        assert_eq!(without.to_string(), "Permission check failed");
        let unknown = cluster.demand_allocate(&token, 5000, Some("nope")).unwrap_err();
        assert_eq!(unknown.to_string(), "Permission check failed (pool 'nope' does not exist)");
    }
}
