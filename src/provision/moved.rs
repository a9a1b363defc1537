//! Finds a container again that was moved to another node while it was being made.

use crate::ports::HypervisorError;
use crate::saga::{StepContext, StepError};

use super::identity;
use super::run::Run;
use super::state::Provisioning;

/// Whether an error may mean that the container is on another node by now.
pub(super) const fn may_have_moved(error: &HypervisorError) -> bool {
    matches!(
        error,
        HypervisorError::NotFound { .. } | HypervisorError::Forbidden { .. } | HypervisorError::Unreachable { .. }
    )
}

/// Looks for the container after an answer that it is not on its node. True when it was moved: `state` has its new node then, and
/// its memory counts there.
pub(super) async fn is_moved(run: &Run, cx: &StepContext<'_>, state: &mut Provisioning) -> Result<bool, StepError> {
    let Some((vmid, node)) = state.place() else { return Ok(false) };
    let Some(other) = run.container(vmid).moved_from(node).await else { return Ok(false) };
    tracing::info!(operation.id = %run.operation(), %vmid, "{vmid} was moved from {node} to {other}");
    state.node = Some(other);
    identity::commit_memory(run, state).await?;
    cx.checkpoint(state).await?;
    Ok(true)
}
