//! The job of a host power operation.

use std::time::Duration;

use async_trait::async_trait;
use sea_orm::EntityTrait;

use crate::containers::{Container, NotSwitched};
use crate::db::entities::instance::{self, Lifecycle};
use crate::db::entities::user;
use crate::jobs::{JobContext, JobEnd, JobFailure};
use crate::kernel::VmId;
use crate::operations::{ForwardJob, Resource, ResourceLock, failed, run_forward};
use crate::ports::NodeName;
use crate::saga::{Effect, Step, StepContext, StepError, StepResult};
use crate::servers;
use crate::standing::{self, Decision, gate};

use super::deps::PowerDeps;
use super::payload::{HostAction, PowerPayload};
use super::workload::Workload;

/// How long a run may wait for other work on the same server.
const QUEUEING: Duration = Duration::from_secs(3600);

/// Switches servers on and off.
pub struct PowerJob {
    deps: PowerDeps,
}

impl PowerJob {
    /// A job over `deps`.
    pub fn new(deps: PowerDeps) -> Self {
        Self { deps }
    }
}

struct Run<'a> {
    deps: &'a PowerDeps,
    cx: &'a JobContext,
    payload: PowerPayload,
}

/// One step; a restart has all four.
#[derive(Clone, Copy)]
enum PowerStep {
    Quiesce,
    Off,
    On,
    Resume,
}

#[async_trait]
impl<'a> Step<Run<'a>, ()> for PowerStep {
    fn name(&self) -> &'static str {
        match self {
            Self::Quiesce => "stop_workload",
            Self::Off => "stop_container",
            Self::On => "start_container",
            Self::Resume => "start_workload",
        }
    }

    fn effect(&self) -> Effect {
        Effect::External
    }

    async fn run(&self, run: &Run<'a>, cx: &StepContext<'_>, (): &mut ()) -> StepResult {
        let lock =
            ResourceLock::take(run.cx, cx, Resource::server(run.payload.vmid), run.deps.timings.task_poll).await?;
        let outcome = run.make(*self, cx).await;
        lock.release().await;
        outcome
    }
}

impl Run<'_> {
    async fn make(&self, wanted: PowerStep, cx: &StepContext<'_>) -> StepResult {
        let row = self.server().await?;
        let node = NodeName::new(&row.node);
        let container = Container {
            hypervisor: self.deps.hypervisor.as_ref(),
            timings: &self.deps.timings,
            failpoints: &self.cx.failpoints,
            vmid: row.vmid,
            nonce: row.operation_id,
        };
        let workload = Workload { deps: self.deps, cx: self.cx, row: &row };
        let done = match wanted {
            PowerStep::Quiesce => return self.quiesce(&workload, &container, cx).await,
            PowerStep::Resume => return workload.resume(cx).await,
            PowerStep::Off => container.switch_off(cx, &node, self.deps.grace).await,
            PowerStep::On => {
                // A restart may have been accepted a while ago.
                self.pass_gate().await?;
                container.switch_on(cx, &node).await
            }
        };
        let now_on = done.map_err(|error| failure(row.vmid, &error))?;
        if now_on != node {
            self.cx.read("node", || servers::store::mark_node(&self.deps.db, row.vmid, &now_on)).await?;
            return Ok(Some(format!("it is on {now_on}")));
        }
        Ok(None)
    }

    /// The server's row, if the server is active.
    async fn server(&self) -> Result<instance::Model, StepError> {
        let vmid = self.payload.vmid;
        let find = || servers::store::find(&self.deps.db, vmid);
        match self.cx.read("server", find).await? {
            Some(row) if row.lifecycle == Lifecycle::Active => Ok(row),
            Some(_) | None => Err(StepError::failed("server_gone", format!("server {vmid} is gone or being deleted"))),
        }
    }

    /// Stops the workload so that a game saves its world. A stopped container is skipped, because its address may belong
    /// to another container by now.
    async fn quiesce(&self, workload: &Workload<'_>, container: &Container<'_>, cx: &StepContext<'_>) -> StepResult {
        let running = container.is_running(cx, &NodeName::new(&workload.row.node)).await;
        if running.map_err(|error| failure(workload.row.vmid, &error))? { workload.quiesce(cx).await } else { Ok(None) }
    }

    /// Checks the gate again when the work begins (invariant S7).
    async fn pass_gate(&self) -> Result<(), StepError> {
        let row = self.server().await?;
        let (db, owner) = (&self.deps.db, row.user_id);
        let account = self.cx.read("owner", || user::Entity::find_by_id(owner).one(db)).await?;
        let account = account.ok_or_else(|| StepError::failed("owner_gone", "the account no longer exists"))?;
        let standing = self.cx.read("standing", || standing::store::find(db, owner)).await?;
        match gate(self.payload.action.gated(), &standing, account.role) {
            Decision::Allow | Decision::Override(_) => Ok(()),
            Decision::Deny(denial) => Err(StepError::failed(denial.code.as_str(), denial.code.meaning())),
        }
    }
}

fn failure(vmid: VmId, error: &NotSwitched) -> StepError {
    match error {
        NotSwitched::Gone => StepError::failed("container_gone", format!("the cluster has no container {vmid}")),
        NotSwitched::Foreign => {
            StepError::failed("container_foreign", format!("container {vmid} does not belong to this server"))
        }
        NotSwitched::Away { node, detail } => {
            tracing::warn!(%vmid, %node, error = %detail, "{vmid} cannot be switched on or off: node {node} does not answer");
            let message = format!("node {node} of the server does not answer; retry when it is back");
            StepError::failed("node_away", message)
        }
        NotSwitched::Refused { detail, needs_operator: true } => {
            StepError::failed("hypervisor_not_permitted", detail.clone())
        }
        NotSwitched::Refused { detail, needs_operator: false } => StepError::failed("power_failed", detail.clone()),
        NotSwitched::Stopped(stopped) => (*stopped).into(),
    }
}

#[async_trait]
impl ForwardJob for PowerJob {
    type Work = PowerPayload;
    type State = ();

    fn deadline(&self) -> Duration {
        let PowerDeps { timings, grace, agent_timeout, .. } = &self.deps;
        // The workload and then the container have their grace, once more behind another shutdown; then off and on.
        timings.longest_change() * 3 + *grace * 5 + *agent_timeout + QUEUEING
    }

    async fn run(&self, cx: &JobContext, payload: PowerPayload, (): ()) -> JobEnd {
        let run = Run { deps: &self.deps, cx, payload };
        match run.pass_gate().await {
            Ok(()) => {}
            Err(StepError::Failed { code, message }) => {
                return failed(JobFailure { code: code.to_owned(), message, phase: None });
            }
            Err(StepError::Stopped(_)) => return JobEnd::LeaseLost,
        }
        let moves: &[PowerStep] = match run.payload.action {
            HostAction::Start => &[PowerStep::On, PowerStep::Resume],
            HostAction::Stop => &[PowerStep::Quiesce, PowerStep::Off],
            HostAction::Restart => &[PowerStep::Quiesce, PowerStep::Off, PowerStep::On, PowerStep::Resume],
        };
        let steps: Vec<Box<dyn Step<Run<'_>, ()>>> =
            moves.iter().map(|one| Box::new(*one) as Box<dyn Step<Run<'_>, ()>>).collect();
        run_forward(cx, &self.deps.clock, &steps, &run, ()).await
    }
}
