//! Clones the template. This effect must not happen twice: after a lost answer the step looks for a container with its
//! nonce.

use async_trait::async_trait;

use crate::containers::{Deadline, ObservedContainer, description, is_retryable};
use crate::kernel::{Classify, Failure, VmId};
use crate::operations::Resource;
use crate::ports::{CloneRequest, HypervisorError, NodeName, TaskEnd};
use crate::saga::{Effect, Step, StepContext, StepError, StepResult, UndoError};

use super::super::destroy::destroy_ours;
use super::super::identity;
use super::super::run::{Run, step_failure};
use super::super::state::Provisioning;

pub(super) struct CloneContainer;

/// The result of one attempt.
enum Attempt {
    /// Our container exists and is not locked.
    Made,
    /// Nothing was created; the same request may be sent again.
    Again(String),
    /// A container without our nonce has the VMID.
    Taken,
}

#[async_trait]
impl Step<Run, Provisioning> for CloneContainer {
    fn name(&self) -> &'static str {
        "clone_container"
    }

    fn effect(&self) -> Effect {
        Effect::External
    }

    async fn run(&self, run: &Run, cx: &StepContext<'_>, state: &mut Provisioning) -> StepResult {
        let template = state.decided_template()?;
        let mut deadline = run.deadline();
        loop {
            // Proxmox runs one clone of a template at a time (docs/contracts/proxmox.md 5.4 and 14.3).
            let lock = run.lock(cx, Resource::new(format!("template:{template}"), "clone_container.locked")).await?;
            let attempt = match state.clone_requested {
                false => request(run, cx, state, template).await,
                true => resume(run, cx, state, template).await,
            };
            lock.release().await;
            let attempt = attempt?;
            state.clone_requested = false;
            match attempt {
                Attempt::Made => return Ok(Some(format!("cloned from {template}"))),
                Attempt::Taken => {
                    identity::burn_vmid(run, state).await?;
                    identity::reserve(run, cx, state).await?;
                    cx.checkpoint(state).await?;
                }
                Attempt::Again(why) => {
                    tracing::info!(operation.id = %run.operation(), why, "retrying the clone for {}: {why}", run.operation());
                    if !deadline.wait(cx).await? {
                        return Err(StepError::failed("hypervisor_unavailable", why));
                    }
                }
            }
        }
    }

    async fn undo(&self, run: &Run, cx: &StepContext<'_>, state: &mut Provisioning) -> Result<(), UndoError> {
        let Some((vmid, node)) = state.place() else { return Ok(()) };
        let (vmid, node) = (vmid, node.clone());
        destroy_ours(run, cx, &node, vmid, state.template).await?;
        state.task = None;
        Ok(())
    }
}

/// Asks for the clone, and waits until its outcome is known.
async fn request(
    run: &Run,
    cx: &StepContext<'_>,
    state: &mut Provisioning,
    template: VmId,
) -> Result<Attempt, StepError> {
    let (vmid, node) = state.decided_place()?;
    let hostname = state.decided_hostname()?;
    let request = CloneRequest {
        node: node.clone(),
        template,
        vmid,
        hostname,
        description: description(run.operation()),
        pool: run.deps.policy.pool.clone(),
    };
    state.clone_requested = true;
    match run.deps.hypervisor.clone_container(&request).await {
        Ok(task) => {
            run.hit("clone_container.accepted").await;
            state.task = Some(task);
            cx.checkpoint(state).await?;
            resume(run, cx, state, template).await
        }
        Err(HypervisorError::AlreadyExists { .. }) => settle(run, cx, &node, vmid, template).await,
        Err(error) => match error.failure() {
            Failure::Transient | Failure::Busy => Ok(Attempt::Again(error.to_string())),
            Failure::Ambiguous => settle(run, cx, &node, vmid, template).await,
            Failure::Permanent | Failure::NeedsOperator => Err(step_failure(&error)),
        },
    }
}

/// Waits until the outcome of a clone is known that was asked for, here or by the worker that handed the operation back.
async fn resume(
    run: &Run,
    cx: &StepContext<'_>,
    state: &mut Provisioning,
    template: VmId,
) -> Result<Attempt, StepError> {
    let (vmid, node) = state.decided_place()?;
    if let Some(task) = state.task.clone() {
        let end = run.container(vmid).wait_for(cx, &task).await?;
        state.task = None;
        match end {
            Some(TaskEnd::Failed { failure, message }) if !is_retryable(failure) => {
                return Err(StepError::failed("clone_failed", message));
            }
            Some(TaskEnd::Succeeded | TaskEnd::Warned(_) | TaskEnd::Unknown { .. } | TaskEnd::Failed { .. }) | None => {
            }
        }
    }
    settle(run, cx, &node, vmid, template).await
}

/// Determines by observation whether our container exists (docs/contracts/proxmox.md 14.2).
async fn settle(
    run: &Run,
    cx: &StepContext<'_>,
    node: &NodeName,
    vmid: VmId,
    template: VmId,
) -> Result<Attempt, StepError> {
    let timings = &run.deps.policy.timings.container;
    let mut deadline = run.deadline();
    let mut absent: Option<Deadline> = None;
    loop {
        let unsettled = match run.container(vmid).observe(node).await {
            Ok(ObservedContainer::Ours(config)) => match config.lock {
                None => return Ok(Attempt::Made),
                Some(lock) => format!("the new container is locked ({lock})"),
            },
            Ok(ObservedContainer::Foreign | ObservedContainer::Elsewhere(_)) => return Ok(Attempt::Taken),
            Ok(ObservedContainer::Absent) => match run.deps.hypervisor.clone_is_running(node, template).await {
                Ok(true) => "the template is still being cloned".to_owned(),
                Ok(false) => {
                    let window = absent.get_or_insert_with(|| Deadline::new(timings.task_poll, timings.absence));
                    if window.wait(cx).await? {
                        continue;
                    }
                    return Ok(Attempt::Again("the request created no container".to_owned()));
                }
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        if !deadline.wait(cx).await? {
            let message = format!("it is unknown whether container {vmid} was created: {unsettled}");
            return Err(StepError::failed("clone_unsettled", message));
        }
    }
}
