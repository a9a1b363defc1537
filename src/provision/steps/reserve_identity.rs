//! Chooses node and template, and reserves VMID and host name until they are released.

use async_trait::async_trait;

use crate::saga::{Effect, Step, StepContext, StepResult, UndoError};
use crate::servers::ports;
use crate::servers::vmids;

use super::super::plan::mac;
use super::super::run::Run;
use super::super::state::Provisioning;
use super::super::{identity, public_port};

pub(super) struct ReserveIdentity;

#[async_trait]
impl Step<Run, Provisioning> for ReserveIdentity {
    fn name(&self) -> &'static str {
        "reserve_identity"
    }

    fn effect(&self) -> Effect {
        Effect::None
    }

    async fn run(&self, run: &Run, cx: &StepContext<'_>, state: &mut Provisioning) -> StepResult {
        identity::reserve(run, cx, state).await?;
        public_port::reserve(run, state).await?;
        let placed = identity::choose_node(run, cx, state).await?;
        state.mac = Some(mac(run.operation()));
        let name = state.hostname.as_ref().map(ToString::to_string).unwrap_or_default();
        Ok(Some(format!("{name} on {placed}")))
    }

    async fn undo(&self, run: &Run, _: &StepContext<'_>, _: &mut Provisioning) -> Result<(), UndoError> {
        let (operation, now) = (run.operation(), run.deps.clock.now());
        let release = || async {
            let tx = run.cx.begin().await?;
            ports::release(&tx, operation, now).await?;
            vmids::release(&tx, operation, now).await?;
            Ok(tx.commit().await?)
        };
        Ok(run.cx.write("reservation", release).await?)
    }
}
