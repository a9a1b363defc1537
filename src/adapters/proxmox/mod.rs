//! The hypervisor over the Proxmox VE 8 and 9 API (docs/contracts/proxmox.md).
//!
//! `request` builds requests, `client` sends them to the endpoint that `failover` chooses, `answer`, `task` and `refusal` parse what comes back; all but
//! `client` are pure. No write is repeated here: a lost answer is [`HypervisorError::OutcomeUnknown`], and the caller
//! reads the state before it sends the write again. Elsewhere: which VMID an operation may use, and whether an existing
//! container is ours (`containers`).

mod answer;
mod client;
mod failover;
mod label;
mod limits;
mod loose;
mod preflight;
mod refusal;
mod request;
mod rights;
mod settings;
mod task;
mod upid;

use async_trait::async_trait;
use serde_json::Value;
use tokio::time::Instant;

pub use client::ProxmoxSetupError;
pub use settings::{Cloning, Deadlines, Endpoint, ProxmoxSettings};

use self::answer::Unreadable;
use self::client::{Client, NotDone, unreadable};
use self::label::RequestLabel;
use self::refusal::{Refusal, is_already_running, is_not_running, is_taken, is_unknown_task};
use self::request::Request;
use self::task::Grace;
use self::upid::Upid;
use crate::kernel::{Clock, VmId};
use crate::ports::{
    CloneRequest, ContainerConfig, ContainerSettings, ContainerSummary, Hypervisor, HypervisorError, HypervisorVersion,
    Interface, Node, NodeName, PowerState, Started, Task, TaskState, Whereabouts,
};

/// The hypervisor cluster behind its API.
#[derive(Debug)]
pub struct Proxmox {
    client: Client,
    cloning: Cloning,
    grace: Grace,
}

impl Proxmox {
    /// A client of the cluster of `settings`; connects on first use.
    pub fn new(settings: &ProxmoxSettings, clock: Clock) -> Result<Self, ProxmoxSetupError> {
        Ok(Self {
            client: Client::new(settings, clock)?,
            cloning: settings.cloning.clone(),
            grace: Grace::new(settings.deadlines.task_grace),
        })
    }

    async fn begin(&self, request: Request) -> Result<Task, HypervisorError> {
        self.client.ask(request, accepted_task).await
    }

    /// Starts a change of power; a refusal for which `is_there` is true means that the state is already reached.
    async fn switch(&self, request: Request, is_there: fn(&Refusal) -> bool) -> Result<Started, HypervisorError> {
        let label = request.label.clone();
        match self.client.send(request).await {
            Ok(data) => accepted_task(&data).map(Started::Task).map_err(|detail| unreadable(&label, detail)),
            Err(NotDone::Refused(refusal)) if is_there(&refusal) => Ok(Started::AlreadyThere),
            Err(error) => Err(error.classified(&label)),
        }
    }

    /// The recorded state of a task; `None` when the hypervisor has no record of it.
    async fn recorded(&self, upid: &Upid) -> Result<Option<TaskState>, HypervisorError> {
        let request = request::task(upid);
        let label = request.label.clone();
        match self.client.send(request).await {
            Ok(data) => {
                self.grace.found(upid);
                task::state(&data).map(Some).map_err(|detail| unreadable(&label, detail))
            }
            Err(NotDone::Refused(refusal)) if is_unknown_task(&refusal) => Ok(None),
            Err(error) => Err(error.classified(&label)),
        }
    }
}

fn accepted_task(data: &Value) -> Result<Task, Unreadable> {
    let text = data.as_str().ok_or("the answer to an accepted change is not a task id")?;
    let upid: Upid = text.parse().map_err(|error: upid::UpidError| error.to_string())?;
    Ok(Task(upid.as_str().to_owned()))
}

#[async_trait]
impl Hypervisor for Proxmox {
    async fn version(&self) -> Result<HypervisorVersion, HypervisorError> {
        self.client.ask(request::version(), answer::version).await
    }

    async fn nodes(&self) -> Result<Vec<Node>, HypervisorError> {
        self.client.ask(request::nodes(), answer::nodes).await
    }

    async fn containers(&self) -> Result<Vec<ContainerSummary>, HypervisorError> {
        self.client.ask(request::containers(), answer::containers).await
    }

    async fn locate(&self, vmid: VmId) -> Result<Whereabouts, HypervisorError> {
        self.client.ask(request::containers(), |data| answer::whereabouts(data, vmid)).await
    }

    async fn vmid_is_free(&self, vmid: VmId) -> Result<bool, HypervisorError> {
        let request = request::next_id(vmid);
        let label = request.label.clone();
        match self.client.send(request).await {
            Ok(data) if loose::scalar(&data) == Some(vmid.to_string()) => Ok(true),
            Ok(_) => Err(unreadable(&label, "the answer names another VMID".to_owned())),
            Err(NotDone::Refused(refusal)) if is_taken(&refusal) => Ok(false),
            Err(error) => Err(error.classified(&label)),
        }
    }

    async fn config(&self, node: &NodeName, vmid: VmId) -> Result<ContainerConfig, HypervisorError> {
        self.client.ask(request::config(node, vmid), answer::config).await
    }

    async fn pending(&self, node: &NodeName, vmid: VmId) -> Result<Vec<String>, HypervisorError> {
        self.client.ask(request::pending(node, vmid), answer::pending).await
    }

    async fn power(&self, node: &NodeName, vmid: VmId) -> Result<PowerState, HypervisorError> {
        self.client.ask(request::power(node, vmid), |data| Ok(answer::power(data))).await
    }

    async fn interfaces(&self, node: &NodeName, vmid: VmId) -> Result<Vec<Interface>, HypervisorError> {
        self.client.ask(request::interfaces(node, vmid), answer::interfaces).await
    }

    async fn clone_container(&self, wanted: &CloneRequest) -> Result<Task, HypervisorError> {
        self.begin(request::clone(wanted, &self.cloning)).await
    }

    async fn clone_is_running(&self, node: &NodeName, template: VmId) -> Result<bool, HypervisorError> {
        self.client.ask(request::active_clones(node, template), answer::any_running).await
    }

    async fn configure(
        &self,
        node: &NodeName,
        vmid: VmId,
        settings: &ContainerSettings,
    ) -> Result<(), HypervisorError> {
        self.client.ask(request::configure(node, vmid, settings), |_| Ok(())).await
    }

    async fn start(&self, node: &NodeName, vmid: VmId) -> Result<Started, HypervisorError> {
        self.switch(request::start(node, vmid), is_already_running).await
    }

    async fn stop(&self, node: &NodeName, vmid: VmId) -> Result<Started, HypervisorError> {
        self.switch(request::stop(node, vmid), is_not_running).await
    }

    async fn shutdown(&self, node: &NodeName, vmid: VmId, timeout_s: u32) -> Result<Started, HypervisorError> {
        self.switch(request::shutdown(node, vmid, timeout_s), is_not_running).await
    }

    async fn destroy(&self, node: &NodeName, vmid: VmId) -> Result<Task, HypervisorError> {
        self.begin(request::destroy(node, vmid)).await
    }

    async fn task(&self, task: &Task) -> Result<TaskState, HypervisorError> {
        let upid: Upid = task.0.parse().map_err(|error: upid::UpidError| {
            unreadable(&RequestLabel::read("read the state of a task"), error.to_string())
        })?;
        Ok(self.recorded(&upid).await?.unwrap_or_else(|| self.grace.missed(&upid, Instant::now())))
    }

    async fn task_warnings(&self, task: &Task) -> Result<Vec<String>, HypervisorError> {
        let upid: Upid = task.0.parse().map_err(|error: upid::UpidError| {
            unreadable(&RequestLabel::read("read the log of a task"), error.to_string())
        })?;
        self.client.ask(request::task_log(&upid), task::warnings).await
    }

    async fn recorded_task(&self, name: &str) -> Result<Option<TaskState>, HypervisorError> {
        match name.parse::<Upid>() {
            Ok(upid) => self.recorded(&upid).await,
            Err(_) => Ok(None),
        }
    }
}
