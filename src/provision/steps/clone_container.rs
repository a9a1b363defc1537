//! Clones the template. This effect must not happen twice: after a lost answer the step looks for a container with its
//! nonce.
//!
//! What cannot succeed is left at once: a VMID that something else has is burned, a template on a full storage or with the
//! lock of a clone that no task runs is replaced by another one, and a copy that was left locked becomes a debt.

use std::time::Duration;

use async_trait::async_trait;

use crate::containers::{Deadline, ObservedContainer, description, is_retryable};
use crate::kernel::{Classify, Failure, VmId};
use crate::operations::Resource;
use crate::ports::{CloneRequest, HypervisorError, TaskEnd, TaskFailure};
use crate::saga::{Effect, Step, StepContext, StepError, StepResult, UndoError};

use super::super::destroy::destroy_ours;
use super::super::identity;
use super::super::run::{Run, step_failure};
use super::super::state::Provisioning;

pub(super) struct CloneContainer;

/// The lock of a template while it is cloned.
const CLONING: &str = "disk";
/// The lock of a container while it is created.
const CREATING: &str = "create";

/// The result of one request.
enum Requested {
    /// It may have created the container. `visible` says that its task can be listed if it runs.
    Perhaps { visible: bool },
    /// Its outcome is this.
    Known(Attempt),
}

/// The result of one attempt.
enum Attempt {
    /// Our container exists and is not locked.
    Made,
    /// Nothing was created; the same request may be sent again.
    Again(String),
    /// The template is locked by a clone, and none is running.
    Stuck(String),
    /// The storage of the template is full.
    NoRoom(String),
    /// Something without our nonce has the VMID.
    Taken,
    /// The copy was left locked, and nothing works on it.
    Left(String),
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
        let absence = run.deps.policy.timings.container.absence;
        let mut deadline = run.deadline();
        // Since when the template is locked while nothing clones it.
        let mut stuck: Option<Deadline> = None;
        // Whether an earlier request for this VMID may have been executed.
        let mut doubtful = state.clone_requested;
        loop {
            let template = state.decided_template()?;
            // Proxmox runs one clone of a template at a time (docs/contracts/proxmox.md 5.4 and 14.3).
            let lock = run.lock(cx, Resource::new(format!("template:{template}"), "clone_container.locked")).await?;
            let requested = match state.clone_requested {
                false => request(run, cx, state, template, doubtful).await,
                true => resume(run, cx, state).await,
            };
            lock.release().await;
            let attempt = match requested? {
                Requested::Known(attempt) => attempt,
                Requested::Perhaps { visible } => {
                    doubtful = true;
                    settle(run, cx, state, template, visible).await?
                }
            };
            state.clone_requested = false;
            let again = match attempt {
                Attempt::Made => {
                    let warnings = state.warnings.take().map(|words| format!("; {words}")).unwrap_or_default();
                    return Ok(Some(format!("cloned from {template}{warnings}")));
                }
                Attempt::Taken => {
                    another_number(run, cx, state).await?;
                    doubtful = false;
                    continue;
                }
                Attempt::Left(why) => {
                    tracing::warn!(operation.id = %run.operation(), why, "{}: the copy is left locked: {why}", run.operation());
                    identity::leave_container(run, state, &why).await?;
                    another_number(run, cx, state).await?;
                    doubtful = false;
                    continue;
                }
                Attempt::NoRoom(why) => {
                    // The copy is removed by the task that failed, or should be.
                    doubtful = true;
                    if !identity::choose_other(run, cx, state, template, &why).await? {
                        return Err(StepError::failed("no_capacity", why));
                    }
                    continue;
                }
                Attempt::Stuck(why) => {
                    let window = stuck.get_or_insert_with(|| poll(run, absence));
                    if window.wait(cx).await? {
                        continue;
                    }
                    stuck = None;
                    if identity::choose_other(run, cx, state, template, &why).await? {
                        continue;
                    }
                    // An operator may unlock it, or it is cloned by someone whose tasks our token does not see.
                    why
                }
                Attempt::Again(why) => {
                    stuck = None;
                    why
                }
            };
            tracing::info!(operation.id = %run.operation(), why = again, "retrying the clone for {}: {again}", run.operation());
            if !deadline.wait(cx).await? {
                return Err(StepError::failed("hypervisor_unavailable", again));
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

fn poll(run: &Run, timeout: Duration) -> Deadline {
    Deadline::new(run.deps.policy.timings.container.task_poll, timeout)
}

/// Gives up the VMID and takes another one.
async fn another_number(run: &Run, cx: &StepContext<'_>, state: &mut Provisioning) -> Result<(), StepError> {
    identity::burn_vmid(run, state).await?;
    identity::reserve(run, cx, state).await?;
    cx.checkpoint(state).await?;
    Ok(())
}

/// Asks for the clone, and waits for its task.
async fn request(
    run: &Run,
    cx: &StepContext<'_>,
    state: &mut Provisioning,
    template: VmId,
    doubtful: bool,
) -> Result<Requested, StepError> {
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
    let error = match run.deps.hypervisor.clone_container(&request).await {
        Ok(task) => {
            run.hit("clone_container.accepted").await;
            state.task = Some(task);
            cx.checkpoint(state).await?;
            return resume(run, cx, state).await;
        }
        Err(error) => error,
    };
    let why = error.to_string();
    let known = match (&error, error.failure()) {
        // Nothing of ours can have the number yet, whether or not the token may see what has it.
        (HypervisorError::AlreadyExists { .. }, _) if !doubtful => Attempt::Taken,
        (HypervisorError::AlreadyExists { .. }, _) | (_, Failure::Ambiguous) => {
            return Ok(Requested::Perhaps { visible: true });
        }
        (HypervisorError::Locked { lock, .. }, _) if lock == CLONING => {
            match run.deps.hypervisor.clone_is_running(&node, template).await {
                Ok(false) => Attempt::Stuck(format!("template {template} is locked ({lock}), but nothing clones it")),
                Ok(true) | Err(_) => Attempt::Again(why),
            }
        }
        (HypervisorError::NoCapacity { .. }, _) => Attempt::NoRoom(why),
        (_, Failure::Transient | Failure::Busy) => Attempt::Again(why),
        (_, Failure::Permanent | Failure::NeedsOperator) => return Err(step_failure(&error)),
    };
    Ok(Requested::Known(known))
}

/// Waits for the task of a clone that was asked for, here or by the worker that handed the operation back.
async fn resume(run: &Run, cx: &StepContext<'_>, state: &mut Provisioning) -> Result<Requested, StepError> {
    let (vmid, _) = state.decided_place()?;
    let Some(task) = state.task.clone() else { return Ok(Requested::Perhaps { visible: true }) };
    let end = run.container(vmid).wait_for(cx, &task).await?;
    state.task = None;
    match end {
        // A failed clone removes its copy.
        Some(TaskEnd::Failed { cause: TaskFailure::NoCapacity, message }) => {
            Ok(Requested::Known(Attempt::NoRoom(message)))
        }
        Some(TaskEnd::Failed { cause, message }) if !is_retryable(cause.failure()) => {
            Err(StepError::failed("clone_failed", message))
        }
        Some(TaskEnd::Warned(count)) => {
            state.warnings = Some(run.container(vmid).warnings(&task, count).await);
            Ok(Requested::Perhaps { visible: true })
        }
        Some(TaskEnd::Succeeded | TaskEnd::Unknown { .. } | TaskEnd::Failed { .. }) => {
            Ok(Requested::Perhaps { visible: true })
        }
        // It did not end in time, or our token may not see it any more.
        None => Ok(Requested::Perhaps { visible: false }),
    }
}

/// Determines by observation whether our container exists (docs/contracts/proxmox.md 14.2), and finds one that was moved.
async fn settle(
    run: &Run,
    cx: &StepContext<'_>,
    state: &mut Provisioning,
    template: VmId,
    visible: bool,
) -> Result<Attempt, StepError> {
    let (vmid, mut node) = state.decided_place()?;
    let source = node.clone();
    let absence = run.deps.policy.timings.container.absence;
    let mut deadline = run.deadline();
    // Since when the same was found without a clone that runs.
    let mut still: Option<(Found, Deadline)> = None;
    loop {
        let (found, unsettled) = match run.container(vmid).observe(&node).await {
            Ok(ObservedContainer::Ours(config)) => match config.lock {
                None => {
                    state.node = Some(node);
                    return Ok(Attempt::Made);
                }
                Some(lock) => locked(&lock),
            },
            Ok(ObservedContainer::Elsewhere(other)) => {
                node = other;
                (Found::Other, format!("it was moved to {node}"))
            }
            Ok(ObservedContainer::Foreign) => return Ok(Attempt::Taken),
            Ok(ObservedContainer::Absent) => (Found::Nothing, "the request created no container".to_owned()),
            Ok(ObservedContainer::Hidden) => (Found::Hidden, "our token may not see what has its VMID".to_owned()),
            Err(HypervisorError::Locked { lock, .. }) => locked(&lock),
            Err(error) => (Found::Other, error.to_string()),
        };
        // A lock says nothing while the task that set it cannot be listed.
        let conclusive = found != Found::Other && (visible || found != Found::Locked);
        let idle = conclusive && matches!(run.deps.hypervisor.clone_is_running(&source, template).await, Ok(false));
        if idle {
            let mut window = match still.take() {
                Some((before, window)) if before == found => window,
                Some(_) | None => poll(run, absence),
            };
            if !window.wait(cx).await? {
                return Ok(match found {
                    Found::Nothing => Attempt::Again(unsettled),
                    Found::Hidden => Attempt::Taken,
                    Found::Locked | Found::Other => Attempt::Left(unsettled),
                });
            }
            still = Some((found, window));
            continue;
        }
        still = None;
        if !deadline.wait(cx).await? {
            let message = format!("it is unknown whether container {vmid} was created: {unsettled}");
            return Err(StepError::failed("clone_unsettled", message));
        }
    }
}

/// What is found under the VMID of a clone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    /// No container.
    Nothing,
    /// Our container, or one that cannot be identified yet, with the lock of a container that is being created.
    Locked,
    /// Something that our token may not see.
    Hidden,
    /// Nothing that anything follows from.
    Other,
}

fn locked(lock: &str) -> (Found, String) {
    let found = if lock == CREATING { Found::Locked } else { Found::Other };
    (found, format!("the new container is locked ({lock})"))
}
