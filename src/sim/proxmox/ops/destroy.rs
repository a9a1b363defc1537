//! `DELETE …/lxc/{vmid}` and `POST …/template`.

use serde_json::Value;

use super::super::Proxmox;
use super::super::answer::{Answer, Refusal};
use super::super::api::Call;
use super::super::task::Job;

impl Proxmox {
    /// Removes a container; its configuration is removed last.
    pub(super) fn destroy_container(&self, call: &Call) -> Result<Answer, Refusal> {
        let (vmid, force) = (call.vmid(), call.params.flag("force"));
        let container = self.find(call)?;
        if container.is_protected() {
            return Err(Refusal::died(format!("can't remove CT {vmid} - protection mode enabled")));
        }
        if let Some(refusal) = container.lock_refusal() {
            return Err(Refusal::Died(refusal));
        }
        if container.ha && !call.params.flag("purge") {
            let text = format!("unable to remove CT {vmid} - used in HA resources and purge parameter not set.");
            return Err(Refusal::Died(text));
        }
        if container.run.is_some() && !force {
            return Err(Refusal::died(format!("unable to destroy CT {vmid} - container is running")));
        }
        self.submit(call, Job::Destroy { vmid, force }, None)
    }

    /// Turns a container into a template; the answer does not contain the task.
    pub(super) fn make_template(&self, call: &Call) -> Result<Answer, Refusal> {
        let vmid = call.vmid();
        let container = self.find(call)?;
        if let Some(refusal) = container.lock_refusal() {
            return Err(Refusal::Died(refusal));
        }
        if container.is_template() {
            return Err(Refusal::died("you can't convert a template to a template"));
        }
        if !container.snapshots.is_empty() {
            return Err(Refusal::died("unable to create template, because CT contains snapshots"));
        }
        if container.run.is_some() {
            return Err(Refusal::died("you can't convert a CT to template if the CT is running"));
        }
        self.submit(call, Job::Template { vmid }, None)?;
        Ok(Value::Null.into())
    }
}
