//! Inserts the server's row and commits the operation: from here on the server belongs to the customer.

use async_trait::async_trait;

use crate::db::entities::instance::{self, Lifecycle};
use crate::jobs::OwnerError;
use crate::kernel::InstanceId;
use crate::publishing::CLAIM_TIMEOUT;
use crate::saga::{Effect, Step, StepContext, StepError, StepResult};
use crate::servers::{payload, store};

use super::super::request::Workload;
use super::super::run::Run;
use super::super::state::Provisioning;

pub(super) struct RecordServer;

#[async_trait]
impl Step<Run, Provisioning> for RecordServer {
    fn name(&self) -> &'static str {
        "record_server"
    }

    fn effect(&self) -> Effect {
        Effect::None
    }

    async fn run(&self, run: &Run, _: &StepContext<'_>, state: &mut Provisioning) -> StepResult {
        let Some(row) = row(run, state) else {
            return Err(StepError::failed("internal", "a field of the server is not set"));
        };
        state.admin_password = None;
        run.cx.write("server", || record(run, row.clone())).await?;
        run.cx.committed.cancel();
        Ok(None)
    }
}

/// Inserts the row and commits the operation. A later owner finds it committed and inserts nothing: the customer may have
/// deleted the server.
async fn record(run: &Run, row: instance::Model) -> Result<(), OwnerError> {
    let tx = run.cx.begin().await?;
    if !run.cx.committed.is_cancelled() {
        if store::find_by_operation(&*tx, run.operation()).await?.is_none() {
            store::insert(&tx, row).await?;
        }
        run.cx.set_committed(&tx).await?;
    }
    Ok(tx.commit().await?)
}

fn row(run: &Run, state: &Provisioning) -> Option<instance::Model> {
    let (vmid, node) = state.place()?;
    let hostname = state.hostname.clone()?;
    let request = &run.request;
    let (software, variant, version) = match &request.workload {
        Workload::Game { game, variant, version, .. } => (game, Some(variant.clone()), version),
        Workload::Dev { runtime, version } => (runtime, None, version),
    };
    let now = run.deps.clock.now();
    Some(instance::Model {
        id: InstanceId::generate(),
        vmid,
        name: request.name.clone().unwrap_or_else(|| hostname.to_string()),
        hostname,
        user_id: run.user_id,
        operation_id: run.operation(),
        kind: request.workload.kind(),
        software: software.clone(),
        variant,
        version: version.clone(),
        memory_mib: i32::try_from(request.memory_mib).ok()?,
        cpu_cores: i32::try_from(request.cpu_cores).ok()?,
        node: node.to_string(),
        address: state.address?.to_string(),
        lifecycle: Lifecycle::Active,
        generation: 1,
        payload: payload::EMPTY.to_owned(),
        // If this run ends before it has published the server, the reconciler publishes it.
        edge_due_at: Some(now.after(CLAIM_TIMEOUT)),
        resume: false,
        revision: 0,
        created_at: now,
        updated_at: now,
    })
}
