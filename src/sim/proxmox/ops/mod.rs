//! One function per method the simulator models; every other method of the schema is answered 501.

mod backup;
mod clone;
mod cluster;
mod config;
mod create;
mod destroy;
mod ha;
mod network;
mod options;
mod pools;
mod power;
mod read;
mod resize;
mod snapshot;
mod tasks;

use std::sync::Arc;

use super::Proxmox;
use super::answer::{Answer, Refusal};
use super::api::Call;

impl Proxmox {
    /// Executes a call that has passed every check of the schema.
    pub(super) async fn dispatch(self: Arc<Self>, call: Call) -> Result<Answer, Refusal> {
        let node_part = call.template.strip_prefix("/nodes/{node}");
        match (call.method.as_str(), node_part.unwrap_or(&call.template)) {
            ("GET", "/version") => Ok(self.version()),
            ("GET", "/cluster/nextid") => self.next_id(&call),
            ("GET", "/cluster/resources") => Ok(self.resources(&call)),
            ("GET", "/cluster/status") => Ok(self.cluster_status(&call)),
            ("GET", "/cluster/tasks") => Ok(self.cluster_tasks(&call)),
            ("GET", "/cluster/ha/resources") => Ok(self.ha_list()),
            ("GET", "/cluster/ha/resources/{sid}") => self.ha_resource(&call),
            ("GET", "/access/permissions") => Ok(self.permissions(&call)),
            ("GET", "/pools") => Ok(self.pool_list(&call)),
            ("GET", "/pools/{poolid}") => self.pool(&call),
            ("PUT", "/pools" | "/pools/{poolid}") => self.pool_update(&call),
            ("GET", "/nodes") => Ok(self.node_list(&call)),
            ("GET", "/status") => Ok(self.node_status(&call)),
            ("GET", "/time") => Ok(self.node_time()),
            ("GET", "/network") => Ok(self.network_list(&call)),
            ("GET", "/storage") => Ok(self.storage_list(&call)),
            ("GET", "/storage/{storage}/status") => self.storage_status(&call),
            ("GET", "/storage/{storage}/content") => self.storage_content(&call),
            ("POST", "/vzdump") => self.vzdump(&call),
            ("GET", "/tasks") => Ok(self.task_list(&call)),
            ("GET", "/tasks/{upid}/status") => self.task_status(&call),
            ("GET", "/tasks/{upid}/log") => self.task_log(&call),
            ("DELETE", "/tasks/{upid}") => self.task_kill(&call),
            ("GET", "/lxc") => Ok(self.container_list(&call)),
            ("POST", "/lxc") => self.create_container(&call).await,
            ("DELETE", "/lxc/{vmid}") => self.destroy_container(&call),
            ("GET", "/lxc/{vmid}/status/current") => self.container_status(&call),
            ("GET", "/lxc/{vmid}/config") => self.container_config(&call),
            ("PUT", "/lxc/{vmid}/config") => self.update_config(&call).await,
            ("GET", "/lxc/{vmid}/pending") => self.container_pending(&call),
            ("GET", "/lxc/{vmid}/interfaces") => Ok(self.container_interfaces(&call)),
            ("GET", "/lxc/{vmid}/feature") => self.container_feature(&call),
            ("POST", "/lxc/{vmid}/clone") => self.clone_container(&call).await,
            ("POST", "/lxc/{vmid}/template") => self.make_template(&call),
            ("PUT", "/lxc/{vmid}/resize") => self.resize(&call),
            ("GET", "/lxc/{vmid}/snapshot") => self.snapshot_list(&call),
            ("POST", "/lxc/{vmid}/snapshot") => self.snapshot_take(&call),
            ("DELETE", "/lxc/{vmid}/snapshot/{snapname}") => self.snapshot_delete(&call),
            ("POST", "/lxc/{vmid}/snapshot/{snapname}/rollback") => self.snapshot_rollback(&call),
            ("POST", "/lxc/{vmid}/status/start") => self.power_start(&call).await,
            ("POST", "/lxc/{vmid}/status/stop") => self.power_stop(&call).await,
            ("POST", "/lxc/{vmid}/status/shutdown") => self.power_shutdown(&call).await,
            ("POST", "/lxc/{vmid}/status/reboot") => self.power_reboot(&call).await,
            ("POST", "/lxc/{vmid}/status/suspend") => self.power_suspend(&call).await,
            ("POST", "/lxc/{vmid}/status/resume") => self.power_resume(&call),
            (method, _) => Err(Refusal::NotImplemented(format!("Method '{method} {}' not implemented", call.path))),
        }
    }
}
