//! Writes the server's row: from here on it is the customer's.

use async_trait::async_trait;
use sea_orm::{ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, QueryFilter};

use crate::db;
use crate::db::entities::instance::{self, Lifecycle};
use crate::kernel::InstanceId;
use crate::saga::{Reach, Step, StepContext, StepError, StepResult, Stopped, UndoError};

use super::super::request::Workload;
use super::super::run::Run;
use super::super::state::Provisioning;

pub(super) struct RecordServer;

#[async_trait]
impl Step<Run, Provisioning> for RecordServer {
    fn name(&self) -> &'static str {
        "record_server"
    }

    fn reach(&self) -> Reach {
        Reach::Inside
    }

    async fn run(&self, run: &Run, _: &StepContext<'_>, state: &mut Provisioning) -> StepResult {
        let Some(row) = row(run, state) else {
            return Err(StepError::failed("internal", "the server is not complete"));
        };
        state.admin_password = None;
        let recorded = run.ask("server", || record(run, row.clone())).await?;
        if recorded { Ok(None) } else { Err(Stopped::Lost.into()) }
    }

    async fn undo(&self, run: &Run, _: &StepContext<'_>, _: &mut Provisioning) -> Result<(), UndoError> {
        instance::Entity::delete_many()
            .filter(instance::Column::OperationId.eq(run.operation()))
            .exec(&run.deps.db)
            .await
            .map(drop)
            .map_err(|error| UndoError::Remains(format!("the server row could not be removed: {error}")))
    }
}

/// Inserts the row under the owner's fence, once per operation. Returns false when the lease is lost.
async fn record(run: &Run, row: instance::ActiveModel) -> Result<bool, DbErr> {
    let tx = db::begin(&run.deps.db).await?;
    if run.cx.guard(&tx).await?.is_err() {
        tx.rollback().await?;
        return Ok(false);
    }
    let known = instance::Entity::find().filter(instance::Column::OperationId.eq(run.operation())).one(&tx).await?;
    if known.is_none() {
        instance::Entity::insert(row).exec_without_returning(&tx).await?;
    }
    tx.commit().await?;
    Ok(true)
}

fn row(run: &Run, state: &Provisioning) -> Option<instance::ActiveModel> {
    let (vmid, node) = state.place()?;
    let hostname = state.hostname.clone()?;
    let request = &run.request;
    let (software, variant, version) = match &request.workload {
        Workload::Game { game, variant, version, .. } => (game, Some(variant.clone()), version),
        Workload::Dev { runtime, version } => (runtime, None, version),
    };
    let now = run.deps.clock.now();
    Some(instance::ActiveModel {
        id: Set(InstanceId::generate()),
        vmid: Set(vmid),
        name: Set(request.name.clone().unwrap_or_else(|| hostname.to_string())),
        hostname: Set(hostname),
        user_id: Set(run.user_id),
        operation_id: Set(run.operation()),
        kind: Set(request.workload.kind()),
        software: Set(software.clone()),
        variant: Set(variant),
        version: Set(version.clone()),
        memory_mib: Set(i32::try_from(request.memory_mib).ok()?),
        cpu_cores: Set(i32::try_from(request.cpu_cores).ok()?),
        node: Set(node.to_string()),
        address: Set(state.address?.to_string()),
        lifecycle: Set(Lifecycle::Active),
        generation: Set(1),
        payload: Set("{}".to_owned()),
        edge_due_at: Set(None),
        revision: Set(0),
        created_at: Set(now),
        updated_at: Set(now),
    })
}
