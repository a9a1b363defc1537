//! Reading containers.

use serde_json::{Value, json};

use super::super::Proxmox;
use super::super::answer::{Answer, Refusal};
use super::super::api::Call;
use super::super::view;

impl Proxmox {
    /// The containers of a node that the caller may see; an empty list without privileges.
    pub(super) fn container_list(&self, call: &Call) -> Answer {
        let (now, profile) = (self.core.clock.now(), self.profile());
        let cluster = self.cluster();
        let here = cluster.containers.values().filter(|container| container.node == call.node());
        let seen = here.filter(|ct| cluster.may(&call.token, &format!("/vms/{}", ct.vmid), &["VM.Audit"]));
        json!(seen.map(|container| view::status(container, now, profile, true)).collect::<Vec<_>>()).into()
    }

    /// `status/current`.
    pub(super) fn container_status(&self, call: &Call) -> Result<Answer, Refusal> {
        let container = self.find(call)?;
        Ok(view::status(&container, self.core.clock.now(), self.profile(), false).into())
    }

    /// The configuration, or that of a snapshot.
    pub(super) fn container_config(&self, call: &Call) -> Result<Answer, Refusal> {
        let mut container = self.find(call)?;
        if let Some(name) = call.params.get("snapshot") {
            let snapshot = container.snapshots.iter().find(|snapshot| snapshot.name == name);
            let snapshot = snapshot.ok_or_else(|| Refusal::died(format!("snapshot '{name}' does not exist")))?;
            container.config = snapshot.config.clone();
            container.pending.clear();
        }
        Ok(view::config(&container, call.params.flag("current"), self.profile()).into())
    }

    /// The options, each with its pending change.
    pub(super) fn container_pending(&self, call: &Call) -> Result<Answer, Refusal> {
        let container = self.find(call)?;
        let mut rows: Vec<Value> = Vec::new();
        for (key, value) in &container.config {
            rows.push(match container.pending.get(key) {
                None => json!({"key": key, "value": value}),
                Some(Some(pending)) => json!({"key": key, "value": value, "pending": pending}),
                Some(None) => json!({"key": key, "value": value, "delete": 1}),
            });
        }
        for (key, pending) in container.pending.iter().filter(|(key, _)| !container.config.contains_key(*key)) {
            rows.push(json!({"key": key, "pending": pending}));
        }
        Ok(json!(rows).into())
    }

    /// The network interfaces; none when no container of that number runs on the node.
    pub(super) fn container_interfaces(&self, call: &Call) -> Answer {
        let container = self.find(call).ok();
        container.map_or(Value::Null, |container| view::interfaces(&container, self.profile())).into()
    }

    /// Whether a container can be cloned, copied, or snapshotted.
    pub(super) fn container_feature(&self, call: &Call) -> Result<Answer, Refusal> {
        let container = self.find(call)?;
        let has = match call.params.text("feature") {
            "clone" => container.is_template(),
            "snapshot" => !container.is_template(),
            _ => true,
        };
        Ok(json!({"hasFeature": u8::from(has)}).into())
    }
}
