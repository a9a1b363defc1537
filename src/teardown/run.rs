//! What the steps of a teardown share: the run they belong to, and what it remembers.

use sea_orm::EntityTrait;
use serde::{Deserialize, Serialize};

use super::debts;
use super::deps::TeardownDeps;
use super::payload::TeardownPayload;
use super::remove::NotRemoved;
use super::subject::TeardownSubject;
use crate::db::entities::debt::DebtKind;
use crate::db::entities::user;
use crate::jobs::JobContext;
use crate::saga::{StepError, StepResult};
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
    /// Checks the gate again now that the work begins (invariant S7). It applies to the owner only.
    pub(super) async fn pass_gate(&self) -> Result<(), StepError> {
        let (db, by, vmid) = (&self.deps.db, self.payload.by.as_str(), self.payload.vmid);
        let asked = self.cx.read("standing", || async move {
            let row = servers::store::find(db, vmid).await?;
            let Some(row) = row.filter(|row| row.user_id.to_string() == by) else { return Ok(None) };
            let Some(account) = user::Entity::find_by_id(row.user_id).one(db).await? else { return Ok(None) };
            Ok(Some((standing::store::find(db, row.user_id).await?, account.role)))
        });
        match asked.await?.map(|(standing, role)| gate(Action::DeleteServer, &standing, role)) {
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
        let (id, now) = (self.cx.id(), self.deps.clock.now());
        let reason_text = reason.as_str();
        let record = || async {
            let tx = self.cx.begin().await?;
            debts::record(&*tx, id, kind, subject, reason_text, now).await?;
            Ok(tx.commit().await?)
        };
        self.cx.write("debt", record).await?;
        let vmid = subject.vmid;
        tracing::warn!(operation.id = %id, %kind, vmid = vmid.get(), "{id} left a {kind} debt of {vmid}: {reason}");
        Ok(Some("left as a debt".to_owned()))
    }
}
