//! What the steps of a teardown share: the run they belong to, and what it remembers.

use sea_orm::{DbErr, EntityTrait};
use serde::{Deserialize, Serialize};

use super::debts;
use super::deps::TeardownDeps;
use super::payload::TeardownPayload;
use super::remove::NotRemoved;
use super::subject::TeardownSubject;
use crate::db;
use crate::db::entities::debt::DebtKind;
use crate::db::entities::user;
use crate::jobs::{JobContext, Lost};
use crate::saga::{StepError, StepResult, Stopped};
use crate::servers;
use crate::standing::{self, Action, Decision, gate};

/// One run of a teardown.
pub(super) struct TeardownRun<'a> {
    pub(super) deps: &'a TeardownDeps,
    pub(super) cx: &'a JobContext,
    pub(super) payload: TeardownPayload,
}

/// What a run remembers between its steps.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// What is removed; nothing when there was nothing.
    pub(super) subject: Option<TeardownSubject>,
}

impl TeardownRun<'_> {
    /// Does `work` in one transaction under the fence of this run, and waits for the database while the lease is valid.
    pub(super) async fn write<T, F>(&self, what: &str, work: impl Fn() -> F) -> Result<T, StepError>
    where
        F: Future<Output = Result<Result<T, Lost>, DbErr>>,
    {
        let written = self.cx.persist(what, work).await.map_err(|Lost| Stopped::Lost)?;
        let written = written.map_err(|error| StepError::failed("database_unavailable", error.to_string()))?;
        written.map_err(|Lost| Stopped::Lost.into())
    }

    /// Checks the gate again now that the work begins (invariant S7). It applies to the owner only.
    pub(super) async fn pass_gate(&self) -> Result<(), StepError> {
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

    /// Records what remains as a debt; a stop is returned as it is.
    pub(super) async fn record_debt(&self, kind: DebtKind, subject: &TeardownSubject, why: NotRemoved) -> StepResult {
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
