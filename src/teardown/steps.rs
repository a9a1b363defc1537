//! The steps of a teardown, in the order of product.md 2.7. Each is safe to repeat, and does nothing for what is gone.

use async_trait::async_trait;
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, QueryFilter};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::db;
use crate::db::entities::debt::DebtKind;
use crate::db::entities::instance::{self, Lifecycle};
use crate::db::entities::{deleted_instance, operation};
use crate::edge::Target;
use crate::jobs::{JobContext, Lost};
use crate::operations::ServerLock;
use crate::publishing::debt_of;
use crate::saga::{Reach, Step, StepContext, StepError, StepResult, Stopped};

use super::debts;
use super::job::{TeardownDeps, TeardownPayload};
use super::remove::{self, NotRemoved};
use super::subject::Subject;

/// What the steps share.
pub(super) struct Work<'a> {
    pub(super) deps: &'a TeardownDeps,
    pub(super) cx: &'a JobContext,
    pub(super) payload: TeardownPayload,
}

/// What they remember.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    /// What goes; nothing when there was nothing.
    subject: Option<Subject>,
}

/// All of them.
pub(super) fn steps<'a>() -> Vec<Box<dyn Step<Work<'a>, State>>> {
    vec![
        Box::new(Archive),
        Box::new(Withdraw(Target::Velocity)),
        Box::new(Withdraw(Target::Technitium)),
        Box::new(Withdraw(Target::Cloudflare)),
        Box::new(DestroyContainer),
        Box::new(Release),
    ]
}

impl Work<'_> {
    /// Does `work` in one transaction under the owner's fence, and waits for the database as long as the lease lives.
    async fn write<T, F>(&self, what: &str, work: impl Fn() -> F) -> Result<T, StepError>
    where
        F: Future<Output = Result<Result<T, Lost>, DbErr>>,
    {
        let written = self.cx.persist(what, work).await.map_err(|Lost| Stopped::Lost)?;
        let written = written.map_err(|error| StepError::failed("database_unavailable", error.to_string()))?;
        written.map_err(|Lost| Stopped::Lost.into())
    }

    /// Records what remains, or passes a stop on.
    async fn owe(&self, kind: DebtKind, subject: &Subject, why: NotRemoved) -> StepResult {
        let reason = match why {
            NotRemoved::Remains { reason, .. } => reason,
            NotRemoved::Stopped(stopped) => return Err(stopped.into()),
        };
        let (db, id, now) = (&self.deps.db, self.cx.id(), self.deps.clock.now());
        let reason_text = reason.as_str();
        self.write("debt", || async move {
            let tx = db::begin(db).await?;
            if let Err(lost) = self.cx.guard(&tx).await? {
                return Ok(Err(lost));
            }
            debts::record(&tx, id, kind, subject, reason_text, now).await?;
            tx.commit().await?;
            Ok(Ok(()))
        })
        .await?;
        Ok(Some(format!("left for later: {reason}")))
    }
}

/// Keeps what is known of the server, and takes it out of service: from here on neither Traefik nor the gateway of IDEs is
/// told of it.
struct Archive;

#[async_trait]
impl<'a> Step<Work<'a>, State> for Archive {
    fn name(&self) -> &'static str {
        "archive"
    }

    fn reach(&self) -> Reach {
        Reach::Inside
    }

    async fn run(&self, work: &Work<'a>, cx: &StepContext<'_>, state: &mut State) -> StepResult {
        if let Some(orphan) = &work.payload.orphan {
            state.subject = Some(orphan.clone());
            return Ok(Some("a container without a server".to_owned()));
        }
        // Whoever changes the server now comes to an end first; after it the server is being deleted, and nobody begins.
        let lock = ServerLock::take(work.cx, cx, work.payload.vmid, work.deps.lock_poll).await?;
        let archived = work.write("archive", || archive(work)).await;
        lock.give_back().await;
        let Some(row) = archived? else { return Ok(Some("it is gone already".to_owned())) };
        let subject = Subject::of(&row).map_err(|error| StepError::failed("unreadable_server", error.to_string()))?;
        state.subject = Some(subject);
        Ok(Some(row.hostname.to_string()))
    }
}

async fn archive(work: &Work<'_>) -> Result<Result<Option<instance::Model>, Lost>, DbErr> {
    let (deps, now) = (work.deps, work.deps.clock.now());
    let tx = db::begin(&deps.db).await?;
    if let Err(lost) = work.cx.guard(&tx).await? {
        return Ok(Err(lost));
    }
    let row = instance::Entity::find().filter(instance::Column::Vmid.eq(work.payload.vmid)).one(&tx).await?;
    let Some(row) = row else { return Ok(Ok(None)) };
    let known = deleted_instance::Entity::find_by_id(row.id).one(&tx).await?;
    if known.is_none() {
        let snapshot = json!({
            "kind": row.kind, "name": row.name, "software": row.software, "variant": row.variant, "version": row.version,
            "memoryMiB": row.memory_mib, "cpuCores": row.cpu_cores, "node": row.node, "address": row.address,
            "generation": row.generation, "createdAt": row.created_at,
            "payload": serde_json::from_str::<serde_json::Value>(&row.payload).unwrap_or_default(),
        });
        let archive = deleted_instance::ActiveModel {
            id: Set(row.id),
            vmid: Set(row.vmid),
            hostname: Set(row.hostname.clone()),
            user_id: Set(row.user_id),
            operation_id: Set(row.operation_id),
            teardown_id: Set(work.cx.id()),
            deleted_by: Set(work.payload.by.clone()),
            snapshot: Set(snapshot.to_string()),
            archived_at: Set(now),
            finished_at: Set(None),
        };
        deleted_instance::Entity::insert(archive).exec_without_returning(&tx).await?;
    }
    instance::Entity::update_many()
        .col_expr(instance::Column::Lifecycle, Expr::value(Lifecycle::Deleting))
        .col_expr(instance::Column::EdgeDueAt, Expr::value(None::<i64>))
        .col_expr(instance::Column::Revision, Expr::value(row.revision + 1))
        .col_expr(instance::Column::UpdatedAt, Expr::value(now))
        .filter(instance::Column::Id.eq(row.id))
        .exec(&tx)
        .await?;
    operation::Entity::update_many()
        .col_expr(operation::Column::Vmid, Expr::value(row.vmid))
        .filter(operation::Column::Id.eq(work.cx.id()))
        .exec(&tx)
        .await?;
    tx.commit().await?;
    Ok(Ok(Some(row)))
}

/// Takes the server out of one target of the edge.
struct Withdraw(Target);

#[async_trait]
impl<'a> Step<Work<'a>, State> for Withdraw {
    fn name(&self) -> &'static str {
        match self.0 {
            Target::Velocity => "withdraw_velocity",
            Target::Technitium => "withdraw_technitium",
            Target::Cloudflare => "withdraw_cloudflare",
            Target::Traefik => "withdraw_traefik",
            Target::Ide => "withdraw_ide",
        }
    }

    fn reach(&self) -> Reach {
        Reach::Outside
    }

    async fn run(&self, work: &Work<'a>, _: &StepContext<'_>, state: &mut State) -> StepResult {
        let Some(subject) = &state.subject else { return Ok(None) };
        match (remove::from_edge(&work.deps.targets, self.0, subject).await, debt_of(self.0)) {
            (Err(why), Some(kind)) => work.owe(kind, subject, why).await,
            (Ok(()) | Err(_), _) => Ok(None),
        }
    }
}

/// Destroys the container, if it is the one.
struct DestroyContainer;

#[async_trait]
impl<'a> Step<Work<'a>, State> for DestroyContainer {
    fn name(&self) -> &'static str {
        "destroy_container"
    }

    fn reach(&self) -> Reach {
        Reach::Outside
    }

    async fn run(&self, work: &Work<'a>, cx: &StepContext<'_>, state: &mut State) -> StepResult {
        let Some(subject) = &state.subject else { return Ok(None) };
        let deps = work.deps;
        let failpoints = &work.cx.failpoints;
        match remove::container(deps.hypervisor.as_ref(), &deps.timings, failpoints, cx, subject).await {
            Ok(()) => Ok(None),
            Err(why) => work.owe(DebtKind::Container, subject, why).await,
        }
    }
}

/// Removes the row, and releases names and numbers unless something is still owed.
struct Release;

#[async_trait]
impl<'a> Step<Work<'a>, State> for Release {
    fn name(&self) -> &'static str {
        "release"
    }

    fn reach(&self) -> Reach {
        Reach::Inside
    }

    async fn run(&self, work: &Work<'a>, _: &StepContext<'_>, state: &mut State) -> StepResult {
        let Some(subject) = &state.subject else { return Ok(None) };
        let owed = work.write("release", || release(work, subject)).await?;
        Ok((owed > 0).then(|| format!("VMID {} stays reserved while debts are open: {owed}", subject.vmid)))
    }
}

async fn release(work: &Work<'_>, subject: &Subject) -> Result<Result<u64, Lost>, DbErr> {
    let (deps, now) = (work.deps, work.deps.clock.now());
    let tx = db::begin(&deps.db).await?;
    if let Err(lost) = work.cx.guard(&tx).await? {
        return Ok(Err(lost));
    }
    let owed = debts::open(&tx, work.cx.id()).await?;
    if owed == 0 {
        debts::release(&tx, subject.nonce, now).await?;
    }
    instance::Entity::delete_many()
        .filter(instance::Column::Vmid.eq(subject.vmid))
        .filter(instance::Column::OperationId.eq(subject.nonce))
        .exec(&tx)
        .await?;
    deleted_instance::Entity::update_many()
        .col_expr(deleted_instance::Column::FinishedAt, Expr::value(now))
        .filter(deleted_instance::Column::OperationId.eq(subject.nonce))
        .filter(deleted_instance::Column::FinishedAt.is_null())
        .exec(&tx)
        .await?;
    tx.commit().await?;
    Ok(Ok(owed))
}
