//! VMID, host name, node and template of the new container.

use async_trait::async_trait;
use sea_orm::{ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, QueryFilter};
use tokio::time::Instant;

use crate::containers::is_retryable;
use crate::db::entities::debt::{self, DebtKind, DebtState};
use crate::db::entities::reservation;
use crate::jobs::OwnedTransaction;
use crate::kernel::{Classify, DebtId, VmId};
use crate::operations::Resource;
use crate::placement::{Commitment, PlacementPolicy, Want, place};
use crate::saga::{StepContext, StepError};
use crate::servers::vmids::{self, MemoryCommitment};
use crate::servers::{Naming, PoolError, hostname};

use super::held::{Held, hold};
use super::request::Workload;
use super::run::{Run, step_failure};
use super::state::{Provisioning, Unusable};

/// How many VMIDs are tried that turn out to be in use outside zpack.
const MAX_BURNED: usize = 20;

/// Chooses node and template, and commits the memory. Operations choose one after the other, so that each sees the
/// memory committed before it.
pub(super) async fn choose_node(
    run: &Run,
    cx: &StepContext<'_>,
    state: &mut Provisioning,
) -> Result<String, StepError> {
    let (chosen, explained) = choose(run, cx, state).await?;
    if !chosen {
        return Err(StepError::failed("no_capacity", format!("no node can take the server: {explained}")));
    }
    Ok(explained)
}

/// Chooses another template than `template`, which cannot be cloned because of `why`, and remembers it. False when no other node
/// can take the container: then the choice stays.
pub(super) async fn choose_other(
    run: &Run,
    cx: &StepContext<'_>,
    state: &mut Provisioning,
    template: VmId,
    why: &str,
) -> Result<bool, StepError> {
    run.deps.setbacks.note(template, Instant::now());
    state.unusable.push(Unusable { template, why: why.to_owned() });
    let (chosen, explained) = choose(run, cx, state).await?;
    tracing::warn!(operation.id = %run.operation(), %template, why, "template {template} cannot be cloned: {why}; {explained}");
    if !chosen {
        state.unusable.retain(|unusable| unusable.template != template);
        return Ok(false);
    }
    cx.checkpoint(state).await?;
    Ok(true)
}

/// Whether a node was chosen, and the choice or the refusals in words. Operations choose one after the other.
async fn choose(run: &Run, cx: &StepContext<'_>, state: &mut Provisioning) -> Result<(bool, String), StepError> {
    let lock = run.lock(cx, Resource::new("placement", "reserve_identity.locked")).await?;
    let chosen = choose_locked(run, cx, state).await;
    lock.release().await;
    chosen
}

async fn choose_locked(run: &Run, cx: &StepContext<'_>, state: &mut Provisioning) -> Result<(bool, String), StepError> {
    let mut deadline = run.deadline();
    let (nodes, containers) = loop {
        let hypervisor = &run.deps.hypervisor;
        match tokio::try_join!(hypervisor.nodes(), hypervisor.containers()) {
            Ok(seen) => break seen,
            Err(error) if is_retryable(error.failure()) && deadline.wait(cx).await? => {}
            Err(error) => return Err(step_failure(&error)),
        }
    };
    let policy = &run.deps.policy;
    let policy = PlacementPolicy {
        only_node: policy.only_node.clone(),
        unusable: state.unusable.iter().map(|unusable| (unusable.template, unusable.why.clone())).collect(),
        avoided: run.deps.setbacks.recent(Instant::now()),
        ..PlacementPolicy::with_templates(policy.templates.clone())
    };
    let commitments =
        run.cx.read("memory commitments", || vmids::list_memory_commitments(&run.deps.db, run.operation())).await?;
    let commitment = |MemoryCommitment { vmid, node, memory_mib }| Commitment { vmid, node, memory_mib };
    let ours: Vec<Commitment> = commitments.into_iter().map(commitment).collect();
    let want = Want { memory_mib: run.request.memory_mib, cores: run.request.cpu_cores };
    let placement = place(&nodes, &containers, &ours, want, &policy);
    let explained = placement.to_string();
    let Some(choice) = placement.choice else { return Ok((false, explained)) };
    state.node = Some(choice.node);
    state.template = Some(choice.template);
    commit_memory(run, state).await?;
    Ok((true, explained))
}

/// Stores how much memory is committed on which node, once the node is chosen.
pub(super) async fn commit_memory(run: &Run, state: &Provisioning) -> Result<(), StepError> {
    let Some(node) = &state.node else { return Ok(()) };
    let memory_mib = run.request.memory_mib;
    let commit = || async {
        let tx = run.cx.begin().await?;
        vmids::commit_memory(&tx, run.operation(), node, memory_mib).await?;
        Ok(tx.commit().await?)
    };
    Ok(run.cx.write("memory commitment", commit).await?)
}

/// Reserves a VMID that no container of the cluster uses, with its host name.
pub(super) async fn reserve(run: &Run, cx: &StepContext<'_>, state: &mut Provisioning) -> Result<(), StepError> {
    for _ in 0..MAX_BURNED {
        let held = hold(run, &Reservation).await?;
        state.vmid = Some(held.vmid);
        state.hostname = Some(held.hostname);
        if is_free(run, cx, held.vmid).await? {
            return commit_memory(run, state).await;
        }
        burn_vmid(run, state).await?;
    }
    Err(StepError::failed("no_vmid_left", format!("{MAX_BURNED} VMIDs in a row are in use outside zpack")))
}

/// A VMID with its host name.
struct Reservation;

#[async_trait]
impl Held for Reservation {
    type Row = reservation::Model;
    const WHAT: &'static str = "reservation";
    const EXHAUSTED: &'static str = "no_vmid_left";

    async fn find(&self, run: &Run, tx: &OwnedTransaction) -> Result<Option<reservation::Model>, DbErr> {
        vmids::find_by_operation(&**tx, run.operation()).await
    }

    async fn take(&self, run: &Run, tx: &OwnedTransaction) -> Result<Option<reservation::Model>, PoolError> {
        let (workload, policy) = (&run.request.workload, &run.deps.policy);
        let name = |vmid| hostname(naming(workload), vmid);
        let range = policy.range(workload.kind());
        let held = vmids::reserve(tx, range, name, run.operation(), run.deps.clock.now()).await?;
        if let Some(held) = &held {
            run.cx.set_server(tx, held.vmid).await?;
        }
        Ok(held)
    }
}

/// Burns the VMID, because it is in use outside zpack.
pub(super) async fn burn_vmid(run: &Run, state: &mut Provisioning) -> Result<(), StepError> {
    if let Some(vmid) = state.vmid.take() {
        tracing::warn!(operation.id = %run.operation(), %vmid, "{vmid} is in use outside zpack; trying another VMID");
        let burn = || async {
            let tx = run.cx.begin().await?;
            vmids::burn(&tx, vmid, run.operation()).await?;
            Ok(tx.commit().await?)
        };
        run.cx.write("burned VMID", burn).await?;
    }
    state.hostname = None;
    Ok(())
}

/// Records, once, that the container of this operation is left behind under a VMID that it gives up. The debt collector removes it
/// when that is possible.
pub(super) async fn leave_container(run: &Run, state: &Provisioning, why: &str) -> Result<(), StepError> {
    let Some((vmid, node)) = state.place() else { return Ok(()) };
    let (operation, now) = (run.operation(), run.deps.clock.now());
    // The columns of a debt that `teardown` reads.
    let subject = serde_json::json!({ "vmid": vmid, "nonce": operation, "node": node });
    let leave = || async {
        let tx = run.cx.begin().await?;
        let known = debt::Entity::find()
            .filter(debt::Column::OperationId.eq(operation))
            .filter(debt::Column::Kind.eq(DebtKind::Container))
            .filter(debt::Column::Vmid.eq(vmid));
        if known.one(&*tx).await?.is_none() {
            let row = debt::ActiveModel {
                id: Set(DebtId::generate()),
                operation_id: Set(operation),
                kind: Set(DebtKind::Container),
                vmid: Set(Some(vmid)),
                node: Set(Some(node.to_string())),
                detail: Set(format!("container {vmid} was given up by {operation}")),
                subject: Set(Some(subject.to_string())),
                state: Set(DebtState::Open),
                attempts: Set(0),
                next_attempt_at: Set(Some(now)),
                last_error: Set(Some(why.to_owned())),
                created_at: Set(now),
                updated_at: Set(now),
            };
            debt::Entity::insert(row).exec_without_returning(&*tx).await?;
        }
        Ok(tx.commit().await?)
    };
    Ok(run.cx.write("debt", leave).await?)
}

async fn is_free(run: &Run, cx: &StepContext<'_>, vmid: VmId) -> Result<bool, StepError> {
    let mut deadline = run.deadline();
    loop {
        match run.deps.hypervisor.vmid_is_free(vmid).await {
            Ok(free) => return Ok(free),
            Err(error) if is_retryable(error.failure()) && deadline.wait(cx).await? => {}
            Err(error) => return Err(step_failure(&error)),
        }
    }
}

fn naming(workload: &Workload) -> Naming<'_> {
    match workload {
        Workload::Game { game, variant, .. } if game == "minecraft" => Naming::Minecraft { variant },
        Workload::Game { game, .. } => Naming::Game { game },
        Workload::Dev { .. } => Naming::Dev,
    }
}
