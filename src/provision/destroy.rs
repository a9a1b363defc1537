//! Destroys the container that this operation created.

use crate::containers::NotDestroyed;
use crate::kernel::VmId;
use crate::ports::NodeName;
use crate::saga::{StepContext, UndoError};
use crate::servers::store;

use super::run::Run;

/// Destroys the container `vmid` if it carries our nonce and no server row names it.
pub(super) async fn destroy_ours(
    run: &Run,
    cx: &StepContext<'_>,
    node: &NodeName,
    vmid: VmId,
    template: Option<VmId>,
) -> Result<(), UndoError> {
    if named_by_a_server(run, vmid).await? {
        return Err(UndoError::Remains(format!("a server row names {vmid}, so its container is not destroyed")));
    }
    // A container without our nonce is not ours to destroy.
    run.container(vmid).destroy(cx, node, template).await.map(drop).map_err(|error| match error {
        NotDestroyed::Remains(error) => UndoError::Remains(error.to_string()),
        NotDestroyed::Stopped(stopped) => stopped.into(),
    })
}

async fn named_by_a_server(run: &Run, vmid: VmId) -> Result<bool, UndoError> {
    let row = store::find(&run.deps.db, vmid).await;
    row.map(|row| row.is_some()).map_err(|error| UndoError::Remains(error.to_string()))
}
