//! `/nodes/{node}/network`, and the rights of the caller.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::super::Proxmox;
use super::super::access::{CONTROL_PLANE, Token};
use super::super::answer::Answer;
use super::super::api::Call;
use super::super::model::{BRIDGES, Cluster};

/// The paths that are always listed.
const TOP: [&str; 8] = ["/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"];

impl Proxmox {
    /// The bridges of a node that the caller may see.
    pub(super) fn network_list(&self, call: &Call) -> Answer {
        let cluster = self.cluster();
        let seen = |bridge: &&str| {
            let path = format!("/sdn/zones/localnetwork/{bridge}");
            cluster.may(&call.token, &path, &["SDN.Audit", "SDN.Use"])
        };
        let rows = BRIDGES.iter().copied().filter(seen);
        let rows = rows.map(|bridge| json!({"iface": bridge, "type": "bridge", "active": 1, "autostart": 1}));
        json!(rows.collect::<Vec<_>>()).into()
    }

    /// The privileges of the caller: on one path, or on all paths of the configuration.
    pub(super) fn permissions(&self, call: &Call) -> Answer {
        let cluster = self.cluster();
        if let Some(path) = call.params.get("path") {
            return json!({ path: held(&cluster, &call.token, path) }).into();
        }
        let mut paths: BTreeSet<String> = TOP.iter().map(|path| (*path).to_owned()).collect();
        paths.extend(call.token.acl.iter().map(|entry| entry.path.clone()));
        let members = cluster.containers.values().filter(|container| container.pool.is_some());
        paths.extend(members.map(|container| format!("/vms/{}", container.vmid)));
        let listed = paths.into_iter().map(|path| {
            let held = held(&cluster, &call.token, &path);
            (path, held)
        });
        let listed = listed.filter(|(_, held)| !held.is_empty());
        Value::Object(listed.map(|(path, held)| (path, json!(held))).collect::<Map<_, _>>()).into()
    }
}

/// What the token holds on a path, with the flag of inheritance.
fn held(cluster: &Cluster, token: &Token, path: &str) -> BTreeMap<String, u8> {
    let mut known: BTreeSet<&str> = CONTROL_PLANE.iter().copied().collect();
    known.extend(token.acl.iter().flat_map(|entry| entry.privileges.iter().map(String::as_str)));
    let held = known.into_iter().filter(|privilege| cluster.may(token, path, &[privilege]));
    held.map(|privilege| (privilege.to_owned(), 1)).collect()
}
