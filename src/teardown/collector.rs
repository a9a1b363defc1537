//! Settles debts: retries the removal of what a teardown had to leave, until it is gone or an operator releases it.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use sea_orm::DbErr;
use tokio_util::sync::CancellationToken;

use super::debts;
use super::deps::TeardownDeps;
use super::remove::{self, Found, NotRemoved, Remover};
use super::subject::TeardownSubject;
use crate::background::{PassError, Report, Schedule, Task, TaskName};
use crate::db;
use crate::db::entities::debt::{self, DebtKind, DebtState};
use crate::jobs::Failpoints;
use crate::kernel::VmId;
use crate::saga::{StepContext, Stop};

/// How many debts are claimed in one pass.
const BATCH: u64 = 32;
/// How many of them are worked on at the same time.
const AT_A_TIME: usize = 8;

/// How long a pass may take: removing a container waits for tasks and backups of the cluster.
const LONGEST: Duration = Duration::from_secs(2 * 3600);

/// Settles debts.
pub struct Collector {
    /// The peers.
    pub deps: TeardownDeps,
    /// How often it reads what is due.
    pub interval: Duration,
}

#[async_trait]
impl Task for Collector {
    fn name(&self) -> TaskName {
        TaskName::of("debt-collector")
    }

    fn schedule(&self) -> Schedule {
        Schedule::every(self.interval).timeout(LONGEST)
    }

    async fn pass(&mut self, stop: &CancellationToken) -> Result<Report, PassError> {
        Ok(Report::done(self.collect(stop).await?))
    }
}

impl Collector {
    /// Works on the debts that are due; how many were settled. A peer that does not answer delays its own debts only.
    pub async fn collect(&self, stop: &CancellationToken) -> Result<usize, DbErr> {
        let deps = &self.deps;
        let due = debts::due(&deps.db, deps.clock.now(), BATCH).await?;
        let taken = stream::iter(due).map(|row| async move { self.collect_one(&row, stop).await });
        let settled = taken.buffer_unordered(AT_A_TIME).try_collect::<Vec<bool>>().await?;
        Ok(settled.into_iter().filter(|settled| *settled).count())
    }

    /// Claims a debt and tries to settle it; whether this call settled it.
    async fn collect_one(&self, row: &debt::Model, stop: &CancellationToken) -> Result<bool, DbErr> {
        let deps = &self.deps;
        if stop.is_cancelled() || !debts::claim(&deps.db, row, deps.clock.now()).await? {
            return Ok(false);
        }
        let (kind, vmid) = (row.kind, row.vmid.map(VmId::get));
        let server = vmid.map(|vmid| format!(" of {vmid}")).unwrap_or_default();
        match self.settle(row, stop).await {
            Ok(()) => {
                let closed = self.close(row).await?;
                if closed {
                    tracing::info!(debt.id = %row.id, %kind, vmid, "settled the {kind} debt{server}");
                }
                Ok(closed)
            }
            Err(NotRemoved::Remains { reason, needs_operator }) => {
                tracing::warn!(debt.id = %row.id, %kind, vmid, needs_operator, "the {kind} debt{server} remains: {reason}");
                debts::failed(&deps.db, row, &reason, deps.clock.now()).await?;
                Ok(false)
            }
            Err(NotRemoved::Stopped(_)) => Ok(false),
        }
    }

    /// Stores what is known of the subject now, before anything follows from it.
    async fn remember(&self, row: &debt::Model, subject: &TeardownSubject) -> Result<(), NotRemoved> {
        let stored = debts::remember(&self.deps.db, row, subject, self.deps.clock.now()).await;
        stored.map_err(|error| NotRemoved::Remains { reason: error.to_string(), needs_operator: false })
    }

    async fn close(&self, row: &debt::Model) -> Result<bool, DbErr> {
        let tx = db::begin(&self.deps.db).await?;
        let closed = debts::close(&tx, row, DebtState::Settled, self.deps.clock.now()).await?;
        tx.commit().await?;
        Ok(closed)
    }

    async fn settle(&self, row: &debt::Model, stop: &CancellationToken) -> Result<(), NotRemoved> {
        let unreadable = |reason: String| NotRemoved::Remains { reason, needs_operator: true };
        let mut subject: TeardownSubject = serde_json::from_str(row.subject.as_deref().unwrap_or_default())
            .map_err(|error| unreadable(format!("what the debt is about cannot be read: {error}")))?;
        match row.kind {
            DebtKind::Edge(target) => remove::from_edge(&self.deps.targets, target, &subject).await,
            DebtKind::Container => {
                let stop = Stop { draining: stop.clone(), ..Stop::default() };
                let cx = StepContext::unrecorded(&stop);
                let failpoints = Failpoints::default();
                let (hypervisor, timings) = (self.deps.hypervisor.as_ref(), &self.deps.timings);
                let remover = Remover { hypervisor, timings, failpoints: &failpoints };
                let found = remover.find(&cx, &subject).await?;
                if matches!(found, Found::Ours(_)) {
                    subject.destroy_requested = true;
                    self.remember(row, &subject).await?;
                }
                let removed = remover.destroy(&cx, &mut subject, found).await;
                if removed.is_err() && !subject.destroy_requested {
                    self.remember(row, &subject).await?;
                }
                removed
            }
            // It is settled with the last of the others.
            DebtKind::Reservation => Ok(()),
        }
    }
}
