//! The job of a provisioning operation: rebuilds the saga from the row, runs or undoes it, and lists the debts that may
//! remain.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sea_orm::EntityTrait;

use crate::db::entities::debt::DebtKind;
use crate::db::entities::{operation, user};
use crate::jobs::{
    CrashPolicy, Deadlines, Job, JobContext, JobEnd, JobFailure, NewDebt, OwnerError, UndoEnd, WorkSpec,
};
use crate::kernel::UserId;
use crate::operations::{StepJournal, stop_of};
use crate::saga::{self, SagaEnd, UndoResult};
use crate::standing::{self, Action, Decision, gate};

use super::plan::plan;
use super::policy::Timings;
use super::request::ProvisionPayload;
use super::run::{ProvisionDeps, Run};
use super::state::Provisioning;
use super::steps::steps;

/// Why a run does not begin.
enum NotPassed {
    /// The owner may not have a server now, or that cannot be found out.
    Refused(JobFailure),
    /// Another worker owns the operation.
    LeaseLost,
}

/// Time of a run beside waiting for hypervisor and agent: the edge, our database, and waiting for other clones of the
/// same template.
const OTHER_WORK: Duration = Duration::from_secs(3600);

/// Provisions servers.
pub struct ProvisionJob {
    deps: Arc<ProvisionDeps>,
}

impl ProvisionJob {
    /// A job over `deps`.
    pub fn new(deps: Arc<ProvisionDeps>) -> Self {
        Self { deps }
    }

    /// The run that the row of `cx` describes, with the state after its last finished step.
    fn rebuild(&self, cx: &JobContext) -> Result<(Run, Provisioning), JobFailure> {
        let payload: ProvisionPayload = serde_json::from_str(&cx.operation.payload)
            .map_err(|error| JobFailure::unreadable("the payload", &error))?;
        let state = match &cx.operation.saga_state {
            Some(text) => serde_json::from_str(text).map_err(|error| JobFailure::unreadable("the state", &error))?,
            None => Provisioning::default(),
        };
        let blueprint = plan(&payload.request, cx.id(), &self.deps.policy).map_err(|error| JobFailure {
            code: "cannot_plan".to_owned(),
            message: std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string),
            phase: None,
        })?;
        let run = Run {
            deps: self.deps.clone(),
            cx: cx.clone(),
            user_id: payload.user_id,
            request: payload.request,
            blueprint,
        };
        Ok((run, state))
    }

    /// Checks the gate again when the work begins (invariant S7), unless the server is its owner's already. A deleted owner
    /// fails it.
    async fn pass_gate(&self, cx: &JobContext, user_id: UserId) -> Result<(), NotPassed> {
        if cx.committed.is_cancelled() {
            return Ok(());
        }
        let refuse = |code: &str, message: &str| {
            NotPassed::Refused(JobFailure { code: code.to_owned(), message: message.to_owned(), phase: None })
        };
        let ask = || async {
            let owner = user::Entity::find_by_id(user_id).one(&self.deps.db).await?;
            Ok((owner, standing::store::find(&self.deps.db, user_id).await?))
        };
        let (owner, standing) = match cx.read("standing", ask).await {
            Ok(answer) => answer,
            Err(OwnerError::LeaseLost(_)) => return Err(NotPassed::LeaseLost),
            Err(OwnerError::Database(error)) => {
                tracing::warn!(%error, "the standing of {user_id} cannot be read");
                return Err(refuse("database_unavailable", "the standing of the owner could not be read"));
            }
        };
        let Some(owner) = owner else { return Err(refuse("owner_gone", "the account no longer exists")) };
        match gate(Action::Provision, &standing, owner.role) {
            Decision::Allow | Decision::Override(_) => Ok(()),
            Decision::Deny(denial) => Err(refuse(denial.code.as_str(), denial.code.meaning())),
        }
    }

    fn journal(&self, cx: &JobContext) -> StepJournal {
        StepJournal::new(cx.clone(), self.deps.clock.clone())
    }
}

#[async_trait]
impl Job for ProvisionJob {
    fn spec(&self) -> WorkSpec {
        WorkSpec::of::<ProvisionPayload>()
    }

    fn crash_policy(&self) -> CrashPolicy {
        CrashPolicy::UndoExternalEffects
    }

    fn deadlines(&self) -> Deadlines {
        let Timings { container, address_timeout, ready_timeout, .. } = self.deps.policy.timings;
        let change = container.longest_change();
        // Clone, configure and start the container; configure the agent and wait until it is ready.
        let run = change * 3 + address_timeout + ready_timeout * 2 + OTHER_WORK;
        // Switch the container off and destroy it.
        Deadlines { run, undo: change * 2 + OTHER_WORK }
    }

    fn possible_debts(&self, operation: &operation::Model) -> Vec<NewDebt> {
        let state = operation.saga_state.as_deref().and_then(|text| serde_json::from_str(text).ok());
        debts_of(&state.unwrap_or_default())
    }

    async fn run(&self, cx: &JobContext) -> JobEnd {
        let (run, mut state) = match self.rebuild(cx) {
            Ok(rebuilt) => rebuilt,
            Err(failure) => return JobEnd::Failed { failure, undo: UndoEnd::Nothing },
        };
        match self.pass_gate(cx, run.user_id).await {
            Ok(()) => {}
            Err(NotPassed::LeaseLost) => return JobEnd::LeaseLost,
            Err(NotPassed::Refused(failure)) => {
                let undo = saga::undo(&steps(), &run, &self.journal(cx), &stop_of(cx).undoing(), &mut state).await;
                return JobEnd::Failed { failure, undo: self.undo_end(undo, &state) };
            }
        }
        let end = saga::run(&steps(), &run, &self.journal(cx), &stop_of(cx), &mut state).await;
        match end {
            SagaEnd::Completed => JobEnd::Succeeded,
            SagaEnd::Failed { step, code, message, undo } => {
                let failure = JobFailure { code: code.to_owned(), message, phase: Some(step.to_owned()) };
                JobEnd::Failed { failure, undo: self.undo_end(undo, &state) }
            }
            SagaEnd::Cancelled { undo } => JobEnd::Cancelled { undo: self.undo_end(undo, &state) },
            SagaEnd::HandedBack => JobEnd::HandedBack,
            SagaEnd::OwnershipLost => JobEnd::LeaseLost,
        }
    }

    async fn undo(&self, cx: &JobContext) -> UndoEnd {
        match self.rebuild(cx) {
            Ok((run, mut state)) => {
                let undo = saga::undo(&steps(), &run, &self.journal(cx), &stop_of(cx), &mut state).await;
                self.undo_end(undo, &state)
            }
            Err(failure) => UndoEnd::Incomplete { reason: failure.message, debts: Vec::new() },
        }
    }
}

impl ProvisionJob {
    fn undo_end(&self, undo: UndoResult, state: &Provisioning) -> UndoEnd {
        match undo {
            UndoResult::Nothing => UndoEnd::Nothing,
            UndoResult::Complete => UndoEnd::Complete,
            UndoResult::Interrupted => UndoEnd::Interrupted,
            UndoResult::Incomplete { step, reason } => {
                UndoEnd::Incomplete { reason: format!("{step}: {reason}"), debts: debts_of(state) }
            }
        }
    }
}

/// The debts that may remain of a run in `state`. Nothing is published before the operation has committed, and after that
/// nothing is undone.
fn debts_of(state: &Provisioning) -> Vec<NewDebt> {
    let Some(vmid) = state.vmid else { return Vec::new() };
    let node = state.node.as_ref().map(ToString::to_string);
    let name = state.hostname.as_ref().map_or_else(|| vmid.to_string(), ToString::to_string);
    let debt = |kind, detail| NewDebt { kind, vmid: Some(vmid), node: node.clone(), detail };
    vec![
        debt(DebtKind::Container, format!("container {vmid} may exist and carry this operation's nonce")),
        debt(DebtKind::Reservation, format!("VMID {vmid} and host name {name} are still reserved")),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::request::STEP_COUNT;
    use super::*;

    #[test]
    fn progress_counts_every_step() {
        assert_eq!(steps().len(), STEP_COUNT);
    }
}
