//! `POST …/vzdump`, and the content of a storage.

use serde_json::{Value, json};

use super::super::Proxmox;
use super::super::answer::{Answer, Refusal};
use super::super::api::Call;
use super::super::model::CONTAINER_STORAGE;
use super::super::task::Job;
use super::create::ARCHIVE;

impl Proxmox {
    /// Backs containers up. When none of them is on the node there is nothing to do, and the answer is the text `OK`.
    pub(super) fn vzdump(&self, call: &Call) -> Result<Answer, Refusal> {
        let numbers = call.params.get("vmid").unwrap_or_default().split([',', ';', ' ']);
        let wanted: Vec<u32> = numbers.filter_map(|text| text.parse().ok()).collect();
        let vmids: Vec<u32> = {
            let cluster = self.cluster();
            for vmid in &wanted {
                cluster.demand(&call.token, &format!("/vms/{vmid}"), &["VM.Backup"])?;
            }
            let here = |vmid: &u32| cluster.containers.get(vmid).is_some_and(|ct| ct.node == call.node());
            wanted.into_iter().filter(here).collect()
        };
        if vmids.is_empty() {
            return Ok(json!("OK").into());
        }
        let notes = call.params.text("notes-template").to_owned();
        self.submit(call, Job::Backup { vmids, notes }, None)
    }

    /// The volumes of a storage, filtered by content type and container.
    pub(super) fn storage_content(&self, call: &Call) -> Result<Answer, Refusal> {
        let storage = call.params.text("storage");
        known(storage)?;
        let content = call.params.get("content");
        let vmid = call.params.get("vmid").and_then(|text| text.parse::<u32>().ok());
        let wanted = |kind: &str| content.is_none_or(|content| content == kind);
        let cluster = self.cluster();
        let mut rows: Vec<Value> = Vec::new();
        if storage == "local" && wanted("vztmpl") && vmid.is_none() {
            rows.push(json!({"volid": ARCHIVE, "content": "vztmpl", "format": "tzst", "size": 126_515_062}));
        }
        if storage == "local" && wanted("backup") {
            let of_container = |of: u32| vmid.is_none_or(|vmid| vmid == of);
            let backups = cluster.backups.iter().filter(|b| b.node == call.node() && of_container(b.vmid));
            rows.extend(backups.map(|backup| {
                json!({
                    "volid": backup.volid, "content": "backup", "format": "tar.zst", "size": 104_857_600,
                    "ctime": backup.at.seconds(), "vmid": backup.vmid, "notes": backup.notes, "subtype": "lxc",
                })
            }));
        }
        if storage == CONTAINER_STORAGE && wanted("rootdir") {
            let here = cluster.containers.values().filter(|ct| ct.node == call.node());
            rows.extend(here.filter(|ct| vmid.is_none_or(|vmid| vmid == ct.vmid)).map(|container| {
                json!({
                    "volid": container.root_volume(), "content": "rootdir", "format": "subvol",
                    "size": container.root_size_gib() << 30, "vmid": container.vmid,
                })
            }));
        }
        Ok(json!(rows).into())
    }

    /// The storages of a node that the caller may see.
    pub(super) fn storage_list(&self, call: &Call) -> Answer {
        let seen: Vec<&str> = {
            let cluster = self.cluster();
            let rights = ["Datastore.Audit", "Datastore.AllocateSpace"];
            let may_see = |storage: &&str| cluster.may(&call.token, &format!("/storage/{storage}"), &rights);
            ["local", CONTAINER_STORAGE].into_iter().filter(may_see).collect()
        };
        json!(seen.into_iter().map(|storage| self.storage_row(call, storage)).collect::<Vec<_>>()).into()
    }

    /// One storage.
    pub(super) fn storage_status(&self, call: &Call) -> Result<Answer, Refusal> {
        let storage = call.params.text("storage");
        known(storage)?;
        Ok(self.storage_row(call, storage).into())
    }
}

fn known(storage: &str) -> Result<(), Refusal> {
    match storage {
        "local" | CONTAINER_STORAGE => Ok(()),
        other => Err(Refusal::died(format!("storage '{other}' does not exist"))),
    }
}
