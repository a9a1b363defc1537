//! Removing the container this very operation made, and no other (invariant S4).

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use crate::db::entities::instance;
use crate::kernel::{Classify, VmId};
use crate::ports::{HypervisorError, NodeName, Started, TaskEnd};
use crate::saga::{StepContext, UndoError};

use super::container::{Sighting, look, may_pass};
use super::run::Run;
use super::task::{Patience, patience, wait_for};

/// Destroys the container behind `vmid` if it carries our nonce and no server row names it, and returns when the number
/// is seen to be free in the whole cluster, or taken by somebody else.
pub(super) async fn destroy_ours(
    run: &Run,
    cx: &StepContext<'_>,
    node: &NodeName,
    vmid: VmId,
    template: Option<VmId>,
) -> Result<(), UndoError> {
    if named_by_a_server(run, vmid).await? {
        return Err(UndoError::Remains(format!("a server row names {vmid}; it is not removed")));
    }
    let mut node = node.clone();
    let mut patience = patience(run);
    let mut absent: Option<Patience> = None;
    loop {
        let attempt = match look(run, &node, vmid).await {
            Ok(Sighting::Foreign) => return Ok(()),
            Ok(Sighting::Elsewhere(other)) => {
                node = other;
                continue;
            }
            Ok(Sighting::Absent) => {
                let cloning = match template {
                    Some(template) => run.deps.hypervisor.clone_is_running(&node, template).await,
                    None => Ok(false),
                };
                let timings = &run.deps.policy.timings;
                let window = absent.get_or_insert_with(|| Patience::new(timings.task_poll, timings.absence));
                // A request on its way could still make it: absence counts only after a while.
                match cloning {
                    Ok(false) if window.again(cx).await? => Ok(()),
                    Ok(false) => return Ok(()),
                    Ok(true) => Err(HypervisorError::Unavailable {
                        operation: format!("destroy {vmid}"),
                        detail: "a clone of its template is still being made".to_owned(),
                    }),
                    Err(error) => Err(error),
                }
            }
            Ok(Sighting::Ours(config)) => match config.lock {
                Some(lock) => Err(HypervisorError::Locked { operation: format!("destroy {vmid}"), lock }),
                None => stop_and_destroy(run, cx, &node, vmid).await?,
            },
            Err(error) => Err(error),
        };
        if let Err(error) = attempt {
            tracing::debug!(operation.id = %run.operation(), %error, "{vmid} could not be removed yet");
            let settled_by_looking = !matches!(error.failure(), crate::kernel::Failure::Ambiguous);
            if settled_by_looking && !may_pass(error.failure()) {
                return Err(UndoError::Remains(error.to_string()));
            }
            if !patience.again(cx).await? {
                return Err(UndoError::Remains(error.to_string()));
            }
        }
    }
}

/// One attempt; whatever comes of it, the caller looks again.
async fn stop_and_destroy(
    run: &Run,
    cx: &StepContext<'_>,
    node: &NodeName,
    vmid: VmId,
) -> Result<Result<(), HypervisorError>, UndoError> {
    let hypervisor = &run.deps.hypervisor;
    match hypervisor.stop(node, vmid).await {
        Ok(Started::Task(task)) => drop(wait_for(run, cx, &task).await?),
        Ok(Started::AlreadyThere) => {}
        Err(error) => return Ok(Err(error)),
    }
    let task = match hypervisor.destroy(node, vmid).await {
        Ok(task) => task,
        Err(error) => return Ok(Err(error)),
    };
    run.hit("destroy.accepted").await;
    let operation = format!("destroy {vmid} on {node}");
    Ok(match wait_for(run, cx, &task).await? {
        Some(TaskEnd::Succeeded | TaskEnd::Warned(_)) => Ok(()),
        Some(TaskEnd::Failed { message, .. } | TaskEnd::Unknown { message }) => {
            Err(HypervisorError::Unavailable { operation, detail: message })
        }
        None => Err(HypervisorError::Unavailable { operation, detail: "the task did not end in time".to_owned() }),
    })
}

async fn named_by_a_server(run: &Run, vmid: VmId) -> Result<bool, UndoError> {
    let row = instance::Entity::find().filter(instance::Column::Vmid.eq(vmid)).one(&run.deps.db).await;
    row.map(|row| row.is_some()).map_err(|error| UndoError::Remains(error.to_string()))
}
