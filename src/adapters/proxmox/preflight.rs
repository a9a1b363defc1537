//! Asks the cluster for everything that an order needs.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use futures_util::future::try_join_all;
use serde_json::Value;

use super::answer::{self, Unreadable};
use super::loose::{field, filled, flag, text};
use super::{Proxmox, request, rights};
use crate::adapters::proxmox::Cloning;
use crate::ports::{
    ContainerSummary, Hypervisor, HypervisorError, Missing, MissingKind, NodeName, OrderNeeds, Preflight,
};

/// What is known of the places for new containers.
struct Places {
    /// The online nodes that may take them.
    nodes: Vec<NodeName>,
    /// Those of the wanted templates that the token sees.
    templates: Vec<ContainerSummary>,
    /// The storages of their disks.
    storages: BTreeSet<String>,
}

#[async_trait]
impl Preflight for Proxmox {
    async fn missing(&self, needs: &OrderNeeds) -> Result<Vec<Missing>, HypervisorError> {
        let places = self.places(needs).await?;
        let mut missing = templates(needs, &places);
        let token = self.client.token_id();
        let wanted = rights::needs(needs, &places.nodes, &places.storages);
        let paths: BTreeSet<String> = wanted.iter().flat_map(|need| need.paths.clone()).collect();
        let held = try_join_all(paths.into_iter().map(|path| self.privileges_on(path))).await?;
        let held: BTreeMap<String, BTreeSet<String>> = held.into_iter().collect();
        missing.extend(wanted.iter().filter_map(|need| rights::lacking(need, &held, &token)));
        if let Some(pool) = &needs.pool {
            missing.extend(self.pool(pool).await?);
        }
        for node in &places.nodes {
            for storage in &places.storages {
                missing.extend(self.storage(node, storage).await?);
            }
            missing.extend(self.bridges(node, &needs.bridges).await?);
        }
        missing.extend(self.quorum().await?);
        Ok(missing)
    }
}

impl Proxmox {
    async fn places(&self, needs: &OrderNeeds) -> Result<Places, HypervisorError> {
        let allowed = |name: &NodeName| needs.only_node.as_ref().is_none_or(|only| only == name);
        let nodes = self.nodes().await?.into_iter().filter(|node| node.online && allowed(&node.name));
        let nodes: Vec<NodeName> = nodes.map(|node| node.name).collect();
        let listed = self.containers().await?;
        let templates: Vec<_> =
            listed.into_iter().filter(|ct| ct.template && needs.templates.contains(&ct.vmid)).collect();
        let mut storages = BTreeSet::new();
        match &self.cloning {
            Cloning::Full { storage: Some(storage) } => {
                storages.insert(storage.clone());
            }
            Cloning::Linked | Cloning::Full { storage: None } => {
                for template in templates.iter().filter(|template| nodes.contains(&template.node)) {
                    let request = request::config(&template.node, template.vmid);
                    storages.extend(self.client.ask(request, |data| Ok(storage_of_root(data))).await?);
                }
            }
        }
        Ok(Places { nodes, templates, storages })
    }

    async fn privileges_on(&self, path: String) -> Result<(String, BTreeSet<String>), HypervisorError> {
        let held = self.client.ask(request::permissions(&path), |data| rights::privileges(data, &path)).await?;
        Ok((path, held))
    }

    async fn pool(&self, pool: &str) -> Result<Option<Missing>, HypervisorError> {
        let (_, held) = self.privileges_on(format!("/pool/{pool}")).await?;
        let exists = self.client.ask(request::pools(), |data| has_row(data, "poolid", pool)).await?;
        Ok((held.contains("Pool.Audit") && !exists).then(|| Missing {
            kind: MissingKind::Pool,
            what: format!("there is no pool {pool} (PROXMOX_POOL)"),
            remedy: format!("pveum pool add {pool}"),
        }))
    }

    async fn storage(&self, node: &NodeName, storage: &str) -> Result<Option<Missing>, HypervisorError> {
        let (_, held) = self.privileges_on(format!("/storage/{storage}")).await?;
        if !held.contains("Datastore.AllocateSpace") {
            return Ok(None);
        }
        let read = |data: &Value| Ok(storage_problem(data, storage));
        let problem = self.client.ask(request::storages(node, storage), read).await?;
        Ok(problem.map(|(problem, option)| Missing {
            kind: MissingKind::Storage,
            what: format!("storage {storage} {problem} on node {node}"),
            remedy: format!("pvesm set {storage} {option}"),
        }))
    }

    /// The bridges that a node does not have. A cluster that does not list them is not asked further.
    async fn bridges(&self, node: &NodeName, wanted: &[String]) -> Result<Vec<Missing>, HypervisorError> {
        let listed = match self.client.ask(request::bridges(node), names).await {
            Ok(listed) => listed,
            Err(HypervisorError::Unreachable { operation, detail }) => {
                return Err(HypervisorError::Unreachable { operation, detail });
            }
            Err(_) => return Ok(Vec::new()),
        };
        let mut missing = Vec::new();
        for bridge in wanted.iter().collect::<BTreeSet<_>>() {
            // Bridges that the token may not use are not listed, and are reported as a missing right.
            let (_, held) = self.privileges_on(format!("/sdn/zones/localnetwork/{bridge}")).await?;
            if held.contains("SDN.Use") && !listed.contains(bridge) {
                missing.push(Missing {
                    kind: MissingKind::Bridge,
                    what: format!("node {node} has no bridge {bridge} (GAME_BRIDGE, DEV_BRIDGE)"),
                    remedy: format!("pvesh create /nodes/{node}/network --iface {bridge} --type bridge --autostart 1"),
                });
            }
        }
        Ok(missing)
    }

    async fn quorum(&self) -> Result<Option<Missing>, HypervisorError> {
        let lost = |data: &Value| {
            let rows = data.as_array().map(Vec::as_slice).unwrap_or_default();
            let mut clusters = rows.iter().filter(|row| text(row, "type").as_deref() == Some("cluster"));
            Ok(clusters.any(|row| field(row, "quorate").is_some() && !flag(row, "quorate")))
        };
        match self.client.ask(request::cluster_status(), lost).await {
            Ok(true) => Ok(Some(Missing {
                kind: MissingKind::Quorum,
                what: "the cluster has no quorum, so nothing can be changed".to_owned(),
                remedy: "bring its nodes back: pvecm status".to_owned(),
            })),
            Ok(false) | Err(HypervisorError::Forbidden { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The wanted templates that are not there, and whether the only node has one.
fn templates(needs: &OrderNeeds, places: &Places) -> Vec<Missing> {
    let report = |what, remedy| Missing { kind: MissingKind::Template, what, remedy };
    let seen = |vmid| places.templates.iter().any(|template| template.vmid == vmid);
    let mut missing: Vec<Missing> = needs
        .templates
        .iter()
        .filter(|vmid| !seen(**vmid))
        .map(|vmid| {
            let what = format!("the token sees no container template {vmid} (AGENT_TEMPLATE_VMID)");
            report(what, format!("make it a template: pct template {vmid}"))
        })
        .collect();
    if let Some(node) = &needs.only_node
        && !places.templates.iter().any(|template| template.node == *node)
    {
        let what = format!("node {node} (PROXMOX_NODE) has none of the templates");
        missing.push(report(what, format!("put a template on {node} and add it to AGENT_TEMPLATE_VMID")));
    }
    missing
}

/// The storage of the root disk in a container's configuration.
fn storage_of_root(config: &Value) -> Option<String> {
    filled(config, "rootfs")?.split_once(':').map(|(storage, _)| storage.to_owned())
}

fn has_row(data: &Value, key: &str, name: &str) -> Result<bool, Unreadable> {
    Ok(answer::rows(data)?.iter().any(|row| text(row, key).as_deref() == Some(name)))
}

fn names(data: &Value) -> Result<BTreeSet<String>, Unreadable> {
    Ok(answer::rows(data)?.iter().filter_map(|row| filled(row, "iface")).collect())
}

/// What is wrong with a storage, and the option that fixes it.
fn storage_problem(data: &Value, storage: &str) -> Option<(&'static str, &'static str)> {
    let rows = data.as_array().map(Vec::as_slice).unwrap_or_default();
    let Some(row) = rows.iter().find(|row| text(row, "storage").as_deref() == Some(storage)) else {
        return Some(("is not available", "--nodes '' --disable 0"));
    };
    let content = text(row, "content").unwrap_or_default();
    if field(row, "enabled").is_some() && !flag(row, "enabled") {
        Some(("is disabled", "--disable 0"))
    } else if !content.split(',').any(|kind| kind == "rootdir") {
        Some(("takes no containers", "--content rootdir,images"))
    } else if field(row, "active").is_some() && !flag(row, "active") {
        Some(("is not active", "--disable 0"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_storage_takes_containers_or_says_why_not() {
        let row = |edit: Value| {
            let mut row = json!({ "storage": "s", "enabled": 1, "active": 1, "content": "images,rootdir" });
            row.as_object_mut().unwrap().extend(edit.as_object().unwrap().clone());
            storage_problem(&json!([row]), "s").map(|(problem, _)| problem)
        };
        assert_eq!(row(json!({})), None);
        assert_eq!(row(json!({ "enabled": 0 })), Some("is disabled"));
        assert_eq!(row(json!({ "active": "0" })), Some("is not active"));
        assert_eq!(row(json!({ "content": "backup" })), Some("takes no containers"));
        assert_eq!(row(json!({ "storage": "other" })), Some("is not available"));
        assert_eq!(
            storage_of_root(&json!({ "rootfs": "local-zfs:basevol-9000-disk-0,size=8G" })).as_deref(),
            Some("local-zfs")
        );
        assert_eq!(storage_of_root(&json!({})), None);
    }
}
