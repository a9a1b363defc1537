//! Decides node and template, and reserves VMID and host name. Nobody else gets either until they are released.

use async_trait::async_trait;

use crate::instances::reservations;
use crate::saga::{Reach, Step, StepContext, StepResult, UndoError};

use super::super::identity;
use super::super::plan::mac;
use super::super::run::Run;
use super::super::state::Provisioning;

pub(super) struct ReserveIdentity;

#[async_trait]
impl Step<Run, Provisioning> for ReserveIdentity {
    fn name(&self) -> &'static str {
        "reserve_identity"
    }

    fn reach(&self) -> Reach {
        Reach::Inside
    }

    async fn run(&self, run: &Run, cx: &StepContext<'_>, state: &mut Provisioning) -> StepResult {
        identity::reserve(run, cx, state).await?;
        let placed = identity::choose_node(run, cx, state).await?;
        state.mac = Some(mac(run.operation()));
        let name = state.hostname.as_ref().map(ToString::to_string).unwrap_or_default();
        Ok(Some(format!("{name} on {placed}")))
    }

    async fn undo(&self, run: &Run, _: &StepContext<'_>, _: &mut Provisioning) -> Result<(), UndoError> {
        reservations::release(&run.deps.db, run.operation(), run.deps.clock.now())
            .await
            .map_err(|error| UndoError::Remains(format!("the reservation could not be released: {error}")))
    }
}
