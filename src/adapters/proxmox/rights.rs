//! The rights that an order needs, and the commands that grant them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::answer::Unreadable;
use super::loose::flag;
use crate::ports::{Missing, MissingKind, NodeName, OrderNeeds};

/// The role that the commands name; docs/operations.md creates it.
const ROLE: &str = "zpack";

/// What is needed of a template.
const TEMPLATE: &[&str] = &["VM.Clone", "VM.Audit"];
/// What is needed of new containers.
const CONTAINER: &[&str] = &[
    "VM.Allocate",
    "VM.Audit",
    "VM.PowerMgmt",
    "VM.Config.CPU",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
];
const STORAGE: &[&str] = &["Datastore.AllocateSpace"];
const BRIDGE: &[&str] = &["SDN.Use"];
const NODE: &[&str] = &["Sys.Audit"];

/// Rights that are needed; those on all of the paths count together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Need {
    /// What they are for.
    pub(super) purpose: String,
    /// The paths; the command grants them on the last.
    pub(super) paths: Vec<String>,
    /// The privileges.
    pub(super) privileges: &'static [&'static str],
}

/// The rights that orders need on a cluster with these nodes and storages.
pub(super) fn needs(order: &OrderNeeds, nodes: &[NodeName], storages: &BTreeSet<String>) -> Vec<Need> {
    let mut needs = Vec::new();
    let mut need = |purpose: String, paths: Vec<String>, privileges| needs.push(Need { purpose, paths, privileges });
    for template in &order.templates {
        need(format!("to clone template {template}"), vec![format!("/vms/{template}")], TEMPLATE);
    }
    for vmid in &order.vmids {
        let mut paths = vec![format!("/vms/{vmid}")];
        // Members of a pool have the rights of the pool; others need them on every VMID.
        paths.push(order.pool.as_ref().map_or_else(|| "/vms".to_owned(), |pool| format!("/pool/{pool}")));
        need(format!("to create and run containers such as {vmid}"), paths, CONTAINER);
    }
    for storage in storages {
        need(format!("to put disks on storage {storage}"), vec![format!("/storage/{storage}")], STORAGE);
    }
    for bridge in order.bridges.iter().collect::<BTreeSet<_>>() {
        need(format!("to use bridge {bridge}"), vec![format!("/sdn/zones/localnetwork/{bridge}")], BRIDGE);
    }
    for node in nodes {
        need(format!("to see the size of node {node}"), vec![format!("/nodes/{node}")], NODE);
    }
    needs
}

/// The privileges on `path` in an answer of `/access/permissions`. A path that is not listed has those of the nearest
/// listed path above it that are inherited.
pub(super) fn privileges(data: &Value, path: &str) -> Result<BTreeSet<String>, Unreadable> {
    let listed = data.as_object().ok_or("the permissions are no object")?;
    let of = |path: &str, inherited: bool| {
        let privileges = listed.get(path)?.as_object()?;
        let held = privileges.keys().filter(|name| !inherited || flag(&Value::Object(privileges.clone()), name));
        Some(held.cloned().collect::<BTreeSet<String>>())
    };
    if let Some(own) = of(path, false) {
        return Ok(own);
    }
    let mut above = path;
    while let Some((parent, _)) = above.rsplit_once('/') {
        above = parent;
        if let Some(inherited) = of(if above.is_empty() { "/" } else { above }, true) {
            return Ok(inherited);
        }
    }
    Ok(BTreeSet::new())
}

/// What `token` lacks of `need`, with the rights it holds by path.
pub(super) fn lacking(need: &Need, held: &BTreeMap<String, BTreeSet<String>>, token: &str) -> Option<Missing> {
    let has =
        |privilege: &str| need.paths.iter().filter_map(|path| held.get(path)).any(|held| held.contains(privilege));
    let lacking: Vec<&str> = need.privileges.iter().copied().filter(|privilege| !has(privilege)).collect();
    let place = need.paths.last()?;
    if lacking.is_empty() {
        return None;
    }
    let list = lacking.join(",");
    Some(Missing {
        kind: MissingKind::Right,
        what: format!("the token lacks {} on {place}, {}", lacking.join(", "), need.purpose),
        remedy: format!(
            "pveum role modify {ROLE} --append 1 --privs {list} && pveum acl modify {place} --tokens '{token}' --roles {ROLE}"
        ),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::VmId;

    fn vmid(number: i64) -> VmId {
        VmId::new(number).unwrap()
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_missing_right_is_named_with_the_command_that_grants_it() {
        let order = OrderNeeds {
            templates: vec![vmid(9000)],
            vmids: vec![vmid(5000)],
            only_node: None,
            pool: Some("customers".to_owned()),
            bridges: vec!["vmbr3".to_owned(), "vmbr3".to_owned()],
        };
        let needs = needs(&order, &[NodeName::new("pve1")], &set(&["local-zfs"]));
        assert_eq!(needs.len(), 5);
        let mut held = BTreeMap::from([
            ("/vms/9000".to_owned(), set(&["VM.Audit"])),
            ("/pool/customers".to_owned(), set(CONTAINER)),
            ("/storage/local-zfs".to_owned(), set(STORAGE)),
            ("/sdn/zones/localnetwork/vmbr3".to_owned(), set(BRIDGE)),
            ("/nodes/pve1".to_owned(), set(NODE)),
        ]);
        let missing =
            |held: &_| needs.iter().filter_map(|need| lacking(need, held, "zpack@pve!ctl")).collect::<Vec<_>>();
        let found = missing(&held);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].what, "the token lacks VM.Clone on /vms/9000, to clone template 9000");
        let command = "pveum role modify zpack --append 1 --privs VM.Clone && pveum acl modify /vms/9000 --tokens 'zpack@pve!ctl' --roles zpack";
        assert_eq!(found[0].remedy, command);
        held.insert("/vms/9000".to_owned(), set(TEMPLATE));
        assert!(missing(&held).is_empty());
        held.clear();
        assert_eq!(missing(&held).len(), 5);
    }

    #[test]
    fn rights_are_inherited_from_the_nearest_path() {
        let data = json!({ "/": { "Sys.Audit": 1, "VM.Audit": 0 }, "/vms": { "VM.Clone": 1 }, "/vms/7": {} });
        for (path, expected) in [
            ("/", vec!["Sys.Audit", "VM.Audit"]),
            ("/nodes/pve1", vec!["Sys.Audit"]),
            ("/vms/5", vec!["VM.Clone"]),
            ("/vms/7", vec![]),
        ] {
            assert_eq!(privileges(&data, path), Ok(set(&expected)), "{path}");
        }
        assert_eq!(privileges(&json!({}), "/vms/5"), Ok(BTreeSet::new()));
        assert!(privileges(&json!(null), "/").is_err());
    }
}
