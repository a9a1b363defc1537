//! `/cluster/ha/resources`, read only: a control request adds containers to it.

use serde_json::{Value, json};

use super::super::Proxmox;
use super::super::answer::{Answer, Refusal};
use super::super::api::Call;
use super::super::model::Container;

impl Proxmox {
    /// The managed containers.
    pub(super) fn ha_list(&self) -> Answer {
        let cluster = self.cluster();
        let rows: Vec<Value> = cluster.containers.values().filter(|container| container.ha).map(row).collect();
        json!(rows).into()
    }

    /// One managed container.
    pub(super) fn ha_resource(&self, call: &Call) -> Result<Answer, Refusal> {
        let sid = call.params.text("sid");
        let vmid: Option<u32> = sid.strip_prefix("ct:").unwrap_or(sid).parse().ok();
        let cluster = self.cluster();
        let container = vmid.and_then(|vmid| cluster.containers.get(&vmid)).filter(|container| container.ha);
        container
            .map(|container| row(container).into())
            .ok_or_else(|| Refusal::died(format!("no such resource '{sid}'")))
    }
}

fn row(container: &Container) -> Value {
    let state = if container.run.is_some() { "started" } else { "stopped" };
    json!({"sid": format!("ct:{}", container.vmid), "type": "ct", "state": state, "digest": "0"})
}
