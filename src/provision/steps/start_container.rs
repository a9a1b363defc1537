//! Starts the container and waits until it is running.

use async_trait::async_trait;

use crate::containers::is_retryable;
use crate::kernel::{Classify, Failure};
use crate::ports::{PowerState, Started, TaskEnd, TaskFailure};
use crate::saga::{Effect, Step, StepContext, StepError, StepResult};

use super::super::moved::{is_moved, may_have_moved};
use super::super::run::{Run, step_failure};
use super::super::state::Provisioning;

pub(super) struct StartContainer;

#[async_trait]
impl Step<Run, Provisioning> for StartContainer {
    fn name(&self) -> &'static str {
        "start_container"
    }

    fn effect(&self) -> Effect {
        Effect::External
    }

    async fn run(&self, run: &Run, cx: &StepContext<'_>, state: &mut Provisioning) -> StepResult {
        let hypervisor = &run.deps.hypervisor;
        let mut deadline = run.deadline();
        let mut warnings = None;
        loop {
            let (vmid, node) = state.decided_place()?;
            let mut moved = false;
            let mut why = "the container is not running yet".to_owned();
            match hypervisor.start(&node, vmid).await {
                Ok(Started::Task(task)) => {
                    run.hit("start_container.accepted").await;
                    match run.container(vmid).wait_for(cx, &task).await? {
                        Some(TaskEnd::Failed { cause: TaskFailure::Missing, message }) => {
                            moved = is_moved(run, cx, state).await?;
                            if !moved {
                                return Err(StepError::failed("start_failed", message));
                            }
                        }
                        Some(TaskEnd::Failed { cause, message }) if !is_retryable(cause.failure()) => {
                            return Err(StepError::failed("start_failed", message));
                        }
                        Some(TaskEnd::Failed { message, .. } | TaskEnd::Unknown { message }) => why = message,
                        Some(TaskEnd::Warned(count)) => {
                            warnings = Some(run.container(vmid).warnings(&task, count).await);
                        }
                        Some(TaskEnd::Succeeded) | None => {}
                    }
                }
                Ok(Started::AlreadyThere) => {}
                Err(error) if may_have_moved(&error) && is_moved(run, cx, state).await? => moved = true,
                Err(error) => match error.failure() {
                    Failure::Transient | Failure::Busy | Failure::Ambiguous => why = error.to_string(),
                    Failure::Permanent | Failure::NeedsOperator => return Err(step_failure(&error)),
                },
            }
            match hypervisor.power(&node, vmid).await {
                Ok(PowerState::Running) => return Ok(warnings),
                Ok(PowerState::Stopped | PowerState::Unknown) => {}
                Err(error) => {
                    if !moved && may_have_moved(&error) {
                        is_moved(run, cx, state).await?;
                    }
                    why = error.to_string();
                }
            }
            if !deadline.wait(cx).await? {
                return Err(StepError::failed("start_failed", why));
            }
        }
    }
}
