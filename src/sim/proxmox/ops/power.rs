//! `POST …/status/{start|stop|shutdown|reboot|suspend|resume}`.
//!
//! As PVE::API2::LXC::Status, the call looks only for a process of that number on its node; the task reads the configuration.
//! A container that is elsewhere, or nowhere, is "not running" here, and its start is a task that fails.

use serde_json::json;
use tokio::sync::OwnedMutexGuard;

use super::super::Proxmox;
use super::super::answer::{Answer, Refusal};
use super::super::api::Call;
use super::super::model::Container;
use super::super::task::Job;

/// How long a shutdown waits by default, in seconds.
const SHUTDOWN_TIMEOUT: u64 = 60;

impl Proxmox {
    /// Starts a container.
    pub(super) async fn power_start(&self, call: &Call) -> Result<Answer, Refusal> {
        let vmid = call.vmid();
        self.demand_off(call)?;
        if self.is_under_ha(vmid) {
            return self.submit(call, Job::HaRequest { vmid, start: true }, None);
        }
        self.submit_power(call, Job::Start { vmid }).await
    }

    /// Kills a container.
    pub(super) async fn power_stop(&self, call: &Call) -> Result<Answer, Refusal> {
        let vmid = call.vmid();
        let overrule_shutdown = call.params.flag("overrule-shutdown");
        self.demand_running(call, "CT")?;
        if self.is_under_ha(vmid) {
            if overrule_shutdown {
                return Err(Refusal::parameter("overrule-shutdown", "Not applicable for HA resources."));
            }
            return self.submit(call, Job::HaRequest { vmid, start: false }, None);
        }
        self.submit_power(call, Job::Stop { vmid, overrule_shutdown }).await
    }

    /// Shuts a container down.
    pub(super) async fn power_shutdown(&self, call: &Call) -> Result<Answer, Refusal> {
        let vmid = call.vmid();
        self.demand_running(call, "CT")?;
        if self.is_under_ha(vmid) {
            return self.submit(call, Job::HaRequest { vmid, start: false }, None);
        }
        let timeout = call.params.number("timeout").unwrap_or(SHUTDOWN_TIMEOUT);
        self.submit_power(call, Job::Shutdown { vmid, timeout, force_stop: call.params.flag("forceStop") }).await
    }

    /// Reboots a container, without the high-availability manager.
    pub(super) async fn power_reboot(&self, call: &Call) -> Result<Answer, Refusal> {
        self.demand_running(call, "VM")?;
        self.submit_power(call, Job::Reboot { vmid: call.vmid() }).await
    }

    /// Writes a running container to disk and stops it.
    pub(super) async fn power_suspend(&self, call: &Call) -> Result<Answer, Refusal> {
        self.demand_running(call, "CT")?;
        self.submit_power(call, Job::Suspend { vmid: call.vmid() }).await
    }

    /// Continues a suspended container. It takes no lock and reads no configuration.
    pub(super) fn power_resume(&self, call: &Call) -> Result<Answer, Refusal> {
        self.demand_off(call)?;
        self.submit(call, Job::Resume { vmid: call.vmid() }, None)
    }

    /// A copy of the container in the path.
    pub(super) fn find(&self, call: &Call) -> Result<Container, Refusal> {
        self.cluster().on_node(call.node(), call.vmid()).cloned().map_err(Refusal::Died)
    }

    /// Whether the container in the path runs on that node.
    fn runs_here(&self, call: &Call) -> bool {
        self.cluster().on_node(call.node(), call.vmid()).is_ok_and(|container| container.run.is_some())
    }

    fn demand_off(&self, call: &Call) -> Result<(), Refusal> {
        if self.runs_here(call) { Err(Refusal::died(format!("CT {} already running", call.vmid()))) } else { Ok(()) }
    }

    /// Proxmox calls a container a VM in one of its errors.
    fn demand_running(&self, call: &Call, noun: &str) -> Result<(), Refusal> {
        if self.runs_here(call) { Ok(()) } else { Err(Refusal::died(format!("{noun} {} not running", call.vmid()))) }
    }

    fn is_under_ha(&self, vmid: u32) -> bool {
        self.cluster().containers.get(&vmid).is_some_and(|container| container.ha)
    }

    /// Older releases take the container's lock before the task exists.
    async fn submit_power(&self, call: &Call, job: Job) -> Result<Answer, Refusal> {
        let flock = if self.profile().power_lock_in_task() {
            None
        } else {
            Some(self.flocks.take(call.vmid()).await.map_err(|error| Refusal::died(error.to_string()))?)
        };
        self.submit(call, job, flock)
    }

    /// Begins a task on the node in the path and answers its UPID.
    pub(super) fn submit(&self, call: &Call, job: Job, flock: Option<OwnedMutexGuard<()>>) -> Result<Answer, Refusal> {
        let now = self.core.clock.now();
        let upid = self.change(|cluster| cluster.tasks.begin(call.node(), &call.token.id, job, now));
        self.launch(upid.clone(), flock);
        Ok(json!(upid).into())
    }
}
