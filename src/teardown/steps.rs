//! The steps of a teardown, in the order of docs/teardown.md. Each is safe to repeat, and does nothing for what is
//! gone.

use async_trait::async_trait;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter};
use serde::{Deserialize, Serialize};

use crate::db;
use crate::db::entities::debt::DebtKind;
use crate::db::entities::{deleted_instance, user};
use crate::edge::Target;
use crate::jobs::{JobContext, Lost};
use crate::operations::{Resource, ResourceLock};
use crate::publishing::debt_of;
use crate::saga::{Reach, Step, StepContext, StepError, StepResult, Stopped};
use crate::servers;
use crate::standing::{self, Action, Decision, gate};

use super::archive::archive;
use super::debts;
use super::job::TeardownDeps;
use super::payload::TeardownPayload;
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
pub struct State {
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

    /// The gate, asked again now that the work begins (invariant S7). Who is no owner has none.
    async fn pass_gate(&self) -> Result<(), StepError> {
        let (db, by, vmid) = (&self.deps.db, self.payload.by.as_str(), self.payload.vmid);
        let asked = self.cx.persist("standing", || async move {
            let row = servers::store::find(db, vmid).await?;
            let Some(row) = row.filter(|row| row.user_id.to_string() == by) else { return Ok(None) };
            let Some(account) = user::Entity::find_by_id(row.user_id).one(db).await? else { return Ok(None) };
            Ok(Some((standing::store::find(db, row.user_id).await?, account.role)))
        });
        let asked = asked.await.map_err(|Lost| Stopped::Lost)?;
        let asked = asked.map_err(|error| StepError::failed("database_unavailable", error.to_string()))?;
        match asked.map(|(standing, role)| gate(Action::DeleteServer, &standing, role)) {
            Some(Decision::Deny(denial)) => Err(StepError::failed(denial.code.as_str(), denial.code.meaning())),
            Some(Decision::Allow | Decision::Override(_)) | None => Ok(()),
        }
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
        let vmid = subject.vmid;
        tracing::warn!(operation.id = %id, %kind, vmid = vmid.get(), "{id} left a {kind} debt of {vmid}: {reason}");
        Ok(Some("left as a debt".to_owned()))
    }
}

/// Keeps what is known of the server, and takes it out of service: from here on neither Traefik nor the gateway of IDEs
/// is told of it.
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
        work.pass_gate().await?;
        // Whoever changes the server now comes to an end first; after it the server is being deleted, and nobody
        // begins.
        let lock = ResourceLock::take(work.cx, cx, Resource::server(work.payload.vmid), work.deps.lock_poll).await?;
        let archived = work.write("archive", || archive(work)).await;
        lock.give_back().await;
        let Some(row) = archived? else { return Ok(Some("it is gone already".to_owned())) };
        let subject = Subject::of(&row).map_err(|error| StepError::failed("unreadable_server", error.to_string()))?;
        state.subject = Some(subject);
        Ok(Some(row.hostname.to_string()))
    }
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
    servers::store::delete(&tx, subject.vmid, subject.nonce).await?;
    let owed = debts::conclude(&tx, work.cx.id(), subject, now).await?;
    deleted_instance::Entity::update_many()
        .col_expr(deleted_instance::Column::FinishedAt, Expr::value(now))
        .filter(deleted_instance::Column::OperationId.eq(subject.nonce))
        .filter(deleted_instance::Column::FinishedAt.is_null())
        .exec(&tx)
        .await?;
    tx.commit().await?;
    Ok(Ok(owed))
}
