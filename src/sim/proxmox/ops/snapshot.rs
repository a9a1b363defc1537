//! `…/snapshot`.

use serde_json::{Value, json};

use super::super::Proxmox;
use super::super::answer::{Answer, Refusal};
use super::super::api::Call;
use super::super::task::Job;

impl Proxmox {
    /// The snapshots, and the pseudo entry `current`.
    pub(super) fn snapshot_list(&self, call: &Call) -> Result<Answer, Refusal> {
        let container = self.find(call)?;
        let mut parent = None;
        let mut rows: Vec<Value> = Vec::new();
        for snapshot in &container.snapshots {
            let mut row = json!({
                "name": snapshot.name,
                "description": snapshot.description,
                "snaptime": snapshot.at.seconds(),
            });
            if let (Some(parent), Some(fields)) = (parent, row.as_object_mut()) {
                fields.insert("parent".to_owned(), json!(parent));
            }
            parent = Some(&snapshot.name);
            rows.push(row);
        }
        let mut current = json!({
            "name": "current",
            "description": "You are here!",
            "running": u8::from(container.run.is_some()),
        });
        if let (Some(parent), Some(fields)) = (parent, current.as_object_mut()) {
            fields.insert("parent".to_owned(), json!(parent));
        }
        rows.push(current);
        Ok(json!(rows).into())
    }

    /// Takes a snapshot.
    pub(super) fn snapshot_take(&self, call: &Call) -> Result<Answer, Refusal> {
        let name = call.params.text("snapname").to_owned();
        if matches!(name.as_str(), "current" | "vzdump") {
            return Err(Refusal::died(format!("unable to use snapshot name '{name}' (reserved name)")));
        }
        self.find(call)?;
        let description = call.params.text("description").to_owned();
        self.submit(call, Job::Snapshot { vmid: call.vmid(), name, description }, None)
    }

    /// Removes a snapshot.
    pub(super) fn snapshot_delete(&self, call: &Call) -> Result<Answer, Refusal> {
        self.find(call)?;
        let name = call.params.text("snapname").to_owned();
        self.submit(call, Job::DeleteSnapshot { vmid: call.vmid(), name }, None)
    }

    /// Returns to a snapshot; kills a running container.
    pub(super) fn snapshot_rollback(&self, call: &Call) -> Result<Answer, Refusal> {
        self.find(call)?;
        let name = call.params.text("snapname").to_owned();
        self.submit(call, Job::Rollback { vmid: call.vmid(), name, start: call.params.flag("start") }, None)
    }
}
