//! The steps of a teardown, in the order of docs/teardown.md. Each is safe to repeat, and does nothing when there is
//! nothing left.

use async_trait::async_trait;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use crate::db::entities::debt::DebtKind;
use crate::db::entities::deleted_instance;
use crate::edge::Target;
use crate::jobs::OwnerError;
use crate::operations::{Resource, ResourceLock};
use crate::saga::{Effect, Step, StepContext, StepError, StepResult};
use crate::servers;

use super::archive::archive;
use super::debts;
use super::remove::{self, Found, Remover};
use super::run::{State, TeardownRun};
use super::subject::TeardownSubject;

/// All of them.
pub(super) fn steps<'a>() -> Vec<Box<dyn Step<TeardownRun<'a>, State>>> {
    let mut steps: Vec<Box<dyn Step<TeardownRun<'a>, State>>> = vec![Box::new(Archive)];
    for target in Target::peers() {
        steps.push(Box::new(Unpublish(target)));
    }
    steps.push(Box::new(DestroyContainer));
    steps.push(Box::new(Release));
    steps
}

/// Archives the server and marks it as being deleted: from here on it is in no document for Traefik or the IDE gateway.
struct Archive;

#[async_trait]
impl<'a> Step<TeardownRun<'a>, State> for Archive {
    fn name(&self) -> &'static str {
        "archive"
    }

    fn effect(&self) -> Effect {
        Effect::None
    }

    async fn run(&self, run: &TeardownRun<'a>, cx: &StepContext<'_>, state: &mut State) -> StepResult {
        if let Some(orphan) = &run.payload.orphan {
            state.subject = Some(orphan.clone());
            return Ok(Some("a container without a server".to_owned()));
        }
        run.pass_gate().await?;
        // Work that changes the server now ends first; after it the server is being deleted, and no other work
        // begins.
        let lock = ResourceLock::take(run.cx, cx, Resource::server(run.payload.vmid), run.deps.lock_poll).await?;
        let archived = run.cx.write("archive", || archive(run)).await;
        lock.release().await;
        let Some(row) = archived? else { return Ok(Some("it is gone already".to_owned())) };
        let subject =
            TeardownSubject::of(&row).map_err(|error| StepError::failed("unreadable_server", error.to_string()))?;
        state.subject = Some(subject);
        Ok(Some(row.hostname.to_string()))
    }
}

/// Unpublishes the server at one target.
struct Unpublish(Target);

#[async_trait]
impl<'a> Step<TeardownRun<'a>, State> for Unpublish {
    fn name(&self) -> &'static str {
        match self.0 {
            Target::Velocity => "withdraw_velocity",
            Target::Technitium => "withdraw_technitium",
            Target::Cloudflare => "withdraw_cloudflare",
            Target::Traefik => "withdraw_traefik",
            Target::Ide => "withdraw_ide",
        }
    }

    fn effect(&self) -> Effect {
        Effect::External
    }

    async fn run(&self, run: &TeardownRun<'a>, _: &StepContext<'_>, state: &mut State) -> StepResult {
        let Some(subject) = &state.subject else { return Ok(None) };
        match remove::from_edge(&run.deps.targets, self.0, subject).await {
            Ok(()) => Ok(None),
            Err(why) => run.record_debt(DebtKind::Edge(self.0), subject, why).await,
        }
    }
}

/// Destroys the container, if it is the one.
struct DestroyContainer;

#[async_trait]
impl<'a> Step<TeardownRun<'a>, State> for DestroyContainer {
    fn name(&self) -> &'static str {
        "destroy_container"
    }

    fn effect(&self) -> Effect {
        Effect::External
    }

    async fn run(&self, run: &TeardownRun<'a>, cx: &StepContext<'_>, state: &mut State) -> StepResult {
        let Some(mut subject) = state.subject.clone() else { return Ok(None) };
        let (hypervisor, timings) = (run.deps.hypervisor.as_ref(), &run.deps.timings);
        let remover = Remover { hypervisor, timings, failpoints: &run.cx.failpoints };
        let removed = match remover.find(cx, &subject).await {
            Ok(found) => {
                if matches!(found, Found::Ours(_)) {
                    subject.destroy_requested = true;
                    state.subject = Some(subject.clone());
                    cx.checkpoint(state).await?;
                }
                remover.destroy(cx, &mut subject, found).await
            }
            Err(why) => Err(why),
        };
        match removed {
            Ok(()) => Ok(None),
            Err(why) => run.record_debt(DebtKind::Container, &subject, why).await,
        }
    }
}

/// Deletes the row, and releases names and numbers unless a debt is open.
struct Release;

#[async_trait]
impl<'a> Step<TeardownRun<'a>, State> for Release {
    fn name(&self) -> &'static str {
        "release"
    }

    fn effect(&self) -> Effect {
        Effect::None
    }

    async fn run(&self, run: &TeardownRun<'a>, _: &StepContext<'_>, state: &mut State) -> StepResult {
        let Some(subject) = &state.subject else { return Ok(None) };
        let left = run.cx.write("release", || release(run, subject)).await?;
        Ok((left > 0).then(|| format!("VMID {} stays reserved while debts are open: {left}", subject.vmid)))
    }
}

async fn release(run: &TeardownRun<'_>, subject: &TeardownSubject) -> Result<u64, OwnerError> {
    let tx = run.cx.begin().await?;
    let now = run.deps.clock.now();
    servers::store::delete(&tx, subject.vmid, subject.nonce).await?;
    let left = debts::conclude(&*tx, run.cx.id(), subject, now).await?;
    deleted_instance::Entity::update_many()
        .col_expr(deleted_instance::Column::FinishedAt, Expr::value(now))
        .filter(deleted_instance::Column::OperationId.eq(subject.nonce))
        .filter(deleted_instance::Column::FinishedAt.is_null())
        .exec(&*tx)
        .await?;
    tx.commit().await?;
    Ok(left)
}
