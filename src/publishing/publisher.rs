//! Publishes servers and unpublishes them: all targets at the same time, and one write of what came of it.
//!
//! Work that was superseded (see [`super::generation`]) may have written to a target after the newer work did. Those targets are
//! checked again, or, when the server is being deleted, unpublished at once. So an older generation never leaves what
//! a newer one removed.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use sea_orm::DatabaseConnection;

use super::error::PublishError;
use super::generation::{Generation, Outcomes, StoreResult, TargetSelection};
use super::targets::Targets;
use super::unpublish::UnpublishPlan;
use crate::db::entities::instance::{self, InstanceKind};
use crate::edge::{
    EdgeError, EdgePolicy, EdgeRecord, Publication, PublishedWorkload, ServerFacts, Target, needs_port, plan,
};
use crate::kernel::{Clock, VmId};
use crate::ports::RecordId;
use crate::servers::{ports, store};

/// How long one target may take in one attempt.
pub const TARGET_TIMEOUT: Duration = Duration::from_secs(30);

/// Publishes servers.
#[derive(Clone)]
pub struct Publisher {
    /// The database.
    pub db: DatabaseConnection,
    /// The targets.
    pub targets: Targets,
    /// What is published where.
    pub policy: EdgePolicy,
    /// The clock of the process.
    pub clock: Clock,
}

impl Publisher {
    /// A publisher of servers to `targets` by `policy`, whose own targets are replaced by these.
    pub fn new(db: DatabaseConnection, targets: Targets, policy: EdgePolicy, clock: Clock) -> Self {
        Self { db, policy: EdgePolicy { targets: targets.kinds(), ..policy }, targets, clock }
    }

    /// Publishes server `vmid` and returns what is stored of it then: a target that failed is in there, not in the error.
    /// `None` when it has nothing at the edge. `request` is the number of the operator's request that is carried out, 0
    /// before there was any: a later one supersedes it.
    pub async fn publish(
        &self,
        vmid: VmId,
        selection: TargetSelection,
        request: Option<u32>,
    ) -> Result<Option<EdgeRecord>, PublishError> {
        let row = self.row(vmid).await?;
        let Some(publication) = self.plan(&row).await? else { return Ok(None) };
        let begun = Generation::begin_publish((&self.db, &self.clock), &publication, selection, request).await?;
        let work = |target| self.publish_target(target, &begun.record);
        let outcomes = self.for_each_target(begun.select(selection), work).await;
        let touched = || outcomes.keys().copied().collect();
        match begun.store_outcomes(&outcomes).await? {
            StoreResult::Stored(record) => Ok(Some(*record)),
            StoreResult::Superseded => {
                begun.recheck(touched()).await?;
                Err(PublishError::Superseded { vmid })
            }
            StoreResult::Gone => {
                self.undo_late_publish(&begun, touched()).await;
                Err(PublishError::Deleting { vmid })
            }
        }
    }

    /// Unpublishes server `vmid` at every target and returns what is stored of it then. `None` when it was never
    /// published. `request` as in [`Self::publish`]; without one it is unpublished whatever was requested.
    pub async fn unpublish(&self, vmid: VmId, request: Option<u32>) -> Result<Option<EdgeRecord>, PublishError> {
        self.unpublish_all(vmid, request, true).await
    }

    /// Continues an [`Self::unpublish`] that had to leave something.
    pub(super) async fn finish_unpublish(&self, vmid: VmId) -> Result<Option<EdgeRecord>, PublishError> {
        self.unpublish_all(vmid, None, false).await
    }

    async fn unpublish_all(
        &self,
        vmid: VmId,
        request: Option<u32>,
        beware: bool,
    ) -> Result<Option<EdgeRecord>, PublishError> {
        let begun = Generation::begin_unpublish((&self.db, &self.clock), vmid, request, beware).await?;
        let Some(begun) = begun else { return Ok(None) };
        let plan = UnpublishPlan::from(&begun.record);
        let work = |target| self.unpublish_target(target, &plan);
        let outcomes = self.for_each_target(begun.select(TargetSelection::All), work).await;
        match begun.store_outcomes(&outcomes).await? {
            StoreResult::Stored(record) => Ok(Some(*record)),
            StoreResult::Superseded => {
                begun.recheck(outcomes.keys().copied().collect()).await?;
                Err(PublishError::Superseded { vmid })
            }
            StoreResult::Gone => Err(PublishError::Deleting { vmid }),
        }
    }

    async fn row(&self, vmid: VmId) -> Result<instance::Model, PublishError> {
        store::find(&self.db, vmid).await?.ok_or(PublishError::Deleting { vmid })
    }

    /// What the server of `row` has at the edge by the policy of now.
    async fn plan(&self, row: &instance::Model) -> Result<Option<Publication>, PublishError> {
        let unusable = |detail: String| PublishError::Unusable { vmid: row.vmid, detail };
        let address = row.address.parse();
        let address = address.map_err(|_| unusable(format!("`{}` is not an address", row.address)))?;
        let ports = match row.kind {
            InstanceKind::Game if needs_port(&row.software) => ports::find(&self.db, row.operation_id).await?,
            InstanceKind::Game | InstanceKind::Dev => Vec::new(),
        };
        let workload = match row.kind {
            InstanceKind::Game => PublishedWorkload::Game(&row.software),
            InstanceKind::Dev => PublishedWorkload::Dev,
        };
        let facts = ServerFacts { vmid: row.vmid, host: &row.hostname, workload, address, ports: &ports };
        Ok(plan(&facts, &self.policy)?)
    }

    /// Works on `targets` at the same time, each within its timeout.
    async fn for_each_target<F>(&self, targets: BTreeSet<Target>, work: impl Fn(Target) -> F) -> Outcomes
    where
        F: Future<Output = Result<Vec<RecordId>, EdgeError>>,
    {
        let each = targets.into_iter().map(|target| {
            let work = work(target);
            async move {
                let outcome = tokio::time::timeout(TARGET_TIMEOUT, work).await;
                (target, outcome.unwrap_or(Err(EdgeError::TooSlow { target, timeout: TARGET_TIMEOUT })))
            }
        });
        join_all(each).await.into_iter().collect()
    }

    async fn publish_target(&self, target: Target, record: &EdgeRecord) -> Result<Vec<RecordId>, EdgeError> {
        self.targets.require(target)?.publish(record).await
    }

    async fn unpublish_target(&self, target: Target, plan: &UnpublishPlan) -> Result<Vec<RecordId>, EdgeError> {
        self.targets.require(target)?.unpublish(plan).await.map(|()| Vec::new())
    }

    /// Removes what was just published at `targets` for a server that is being deleted, unless another server has its VMID
    /// and with it the names. The orphan sweep (`teardown`) finds what fails here or is not reached.
    async fn undo_late_publish(&self, begun: &Generation<'_>, targets: BTreeSet<Target>) {
        let (vmid, id) = (begun.row.vmid, begun.row.id);
        if self.row(vmid).await.is_ok_and(|current| current.id != id) {
            return;
        }
        let plan = UnpublishPlan::from(&begun.record);
        for (target, outcome) in self.for_each_target(targets, |target| self.unpublish_target(target, &plan)).await {
            if let Err(error) = outcome {
                tracing::warn!(%vmid, %target, %error, "a late publication of {vmid} remains at {target}");
            }
        }
    }
}
