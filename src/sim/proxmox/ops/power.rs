//! `POST …/status/{start|stop|shutdown|reboot|suspend|resume}`.

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
        let container = self.find(call)?;
        if container.run.is_some() {
            return Err(Refusal::died(format!("CT {vmid} already running")));
        }
        if container.ha {
            return self.submit(call, Job::HaRequest { vmid, start: true }, None);
        }
        self.submit_power(call, Job::Start { vmid }).await
    }

    /// Kills a container.
    pub(super) async fn power_stop(&self, call: &Call) -> Result<Answer, Refusal> {
        let vmid = call.vmid();
        let overrule_shutdown = call.params.flag("overrule-shutdown");
        let container = self.find_running(call, "CT")?;
        if container.ha {
            if overrule_shutdown {
                let text = "cannot be used with HA-managed guests";
                return Err(Refusal::parameter("overrule-shutdown", text));
            }
            return self.submit(call, Job::HaRequest { vmid, start: false }, None);
        }
        self.submit_power(call, Job::Stop { vmid, overrule_shutdown }).await
    }

    /// Shuts a container down.
    pub(super) async fn power_shutdown(&self, call: &Call) -> Result<Answer, Refusal> {
        let vmid = call.vmid();
        if self.find_running(call, "CT")?.ha {
            return self.submit(call, Job::HaRequest { vmid, start: false }, None);
        }
        let timeout = call.params.number("timeout").unwrap_or(SHUTDOWN_TIMEOUT);
        self.submit_power(call, Job::Shutdown { vmid, timeout, force_stop: call.params.flag("forceStop") }).await
    }

    /// Reboots a container, without the high-availability manager.
    pub(super) async fn power_reboot(&self, call: &Call) -> Result<Answer, Refusal> {
        self.find_running(call, "VM")?;
        self.submit_power(call, Job::Reboot { vmid: call.vmid() }).await
    }

    /// Freezes a container.
    pub(super) async fn power_suspend(&self, call: &Call) -> Result<Answer, Refusal> {
        self.find_running(call, "CT")?;
        self.submit_power(call, Job::Suspend { vmid: call.vmid() }).await
    }

    /// Thaws a container.
    pub(super) async fn power_resume(&self, call: &Call) -> Result<Answer, Refusal> {
        self.find_running(call, "CT")?;
        self.submit_power(call, Job::Resume { vmid: call.vmid() }).await
    }

    /// A copy of the container in the path.
    pub(super) fn find(&self, call: &Call) -> Result<Container, Refusal> {
        self.cluster().on_node(call.node(), call.vmid()).cloned().map_err(Refusal::Died)
    }

    /// The container in the path if it is running. Proxmox calls it a VM in one of its errors.
    fn find_running(&self, call: &Call, noun: &str) -> Result<Container, Refusal> {
        let container = self.find(call)?;
        match container.run {
            Some(_) => Ok(container),
            None => Err(Refusal::died(format!("{noun} {} not running", call.vmid()))),
        }
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
