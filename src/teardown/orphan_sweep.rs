//! Removes records that carry our mark and belong to no server (docs/contracts/edge.md A8, case 19): what a lost debt,
//! a restored database or a released debt left in the zones; and registrations of deleted servers at the proxy
//! ([`super::orphan_registrations`]).
//!
//! A record is removed when two passes in a row found it in the same form, each from a complete listing of the zone, of the
//! servers and of the cluster, in this order: a server is in the database before it is in a zone. When any of them
//! cannot be read, or is not plausible, nothing is removed and the next pass counts as the first again. Only VMIDs
//! that this database has given out and released are considered: what an operation or a debt still holds is left to it,
//! and a mark with a VMID that was never ours belongs to another installation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sea_orm::{DatabaseConnection, DbErr};
use tokio_util::sync::CancellationToken;

use super::orphan_registrations::{orphaned, unregister};
use crate::background::{First, PassError, Report, Schedule, Task, TaskName};
use crate::containers::{NotListed, list_all};
use crate::edge::{Doubt, EdgeError, Target, orphans, owner_of};
use crate::kernel::{DnsName, VmId};
use crate::ports::{DnsZone, GameProxy, Hypervisor, ProxyEntry, ProxyError, ZoneChange, ZoneError, ZoneRecord};
use crate::publishing::{Holdings, Targets};
use crate::servers::{self, vmids};

/// How often the targets are read.
const INTERVAL: Duration = Duration::from_secs(600);

/// What the sweep works with.
#[derive(Clone)]
pub struct OrphanSweepDeps {
    /// The servers.
    pub db: DatabaseConnection,
    /// The cluster.
    pub hypervisor: Arc<dyn Hypervisor>,
    /// The targets, for work in the background.
    pub targets: Targets,
    /// The zone servers are named in; without one there is nothing to sweep.
    pub zone: Option<DnsName>,
}

/// Why nothing was removed.
#[derive(Debug, thiserror::Error)]
pub enum OrphanSweepError {
    /// The servers cannot be read.
    #[error("the servers cannot be listed: {0}")]
    Database(#[from] DbErr),
    /// The cluster cannot be read.
    #[error(transparent)]
    Cluster(#[from] NotListed),
    /// A target cannot be read or changed.
    #[error(transparent)]
    Target(#[from] EdgeError),
    /// What was read is not plausible.
    #[error("{target}: {doubt}; nothing is removed")]
    Doubtful {
        /// The zone.
        target: Target,
        /// Why.
        doubt: Doubt,
    },
}

/// Removes what deleted servers left at the edge.
pub struct OrphanSweep {
    deps: OrphanSweepDeps,
    /// What the last pass found at each target that it could read.
    seen: BTreeMap<Target, Found>,
}

/// What a pass found at one target.
enum Found {
    /// Orphaned records.
    Records(Vec<ZoneRecord>),
    /// Registrations of deleted servers.
    Registrations(Vec<ProxyEntry>),
}

/// What a target was read to hold.
enum Listed<'a> {
    Records(&'a dyn DnsZone, Result<Vec<ZoneRecord>, EdgeError>),
    Registrations(&'a dyn GameProxy, Result<Vec<ProxyEntry>, EdgeError>),
}

#[async_trait]
impl Task for OrphanSweep {
    fn name(&self) -> TaskName {
        TaskName::of("orphan-sweep")
    }

    /// An orphan is removed by the second pass, so that the first is not urgent.
    fn schedule(&self) -> Schedule {
        Schedule::every(INTERVAL).first(First::AfterPeriod)
    }

    /// A pass that is stopped does not count: what it found is forgotten.
    async fn pass(&mut self, stop: &CancellationToken) -> Result<Report, PassError> {
        match stop.run_until_cancelled(self.sweep()).await {
            Some(removed) => Ok(Report::done(removed?)),
            None => Ok(Report::default()),
        }
    }
}

impl OrphanSweep {
    /// A sweep that has seen nothing yet.
    pub fn new(deps: OrphanSweepDeps) -> Self {
        Self { deps, seen: BTreeMap::new() }
    }

    /// What it works with.
    pub fn deps(&self) -> &OrphanSweepDeps {
        &self.deps
    }

    /// Reads every target once; how much was removed. One that fails does not stop the others.
    pub async fn sweep(&mut self) -> Result<usize, OrphanSweepError> {
        // Taken out, so that a pass that fails leaves nothing that counts as seen.
        let mut before = std::mem::take(&mut self.seen);
        let OrphanSweepDeps { targets, zone: Some(name), .. } = self.deps.clone() else { return Ok(0) };
        let mut listings = Vec::new();
        for target in targets.iter() {
            let kind = target.kind();
            match target.holdings() {
                Holdings::Records(zone) => {
                    let listed = zone.list().await.map_err(|source| EdgeError::Zone { target: kind, source });
                    listings.push((kind, Listed::Records(zone, listed)));
                }
                Holdings::Registrations(proxy) => {
                    listings.push((kind, Listed::Registrations(proxy, list_registrations(proxy).await)));
                }
                Holdings::Nothing => {}
            }
        }
        let (servers, free) = (self.servers().await?, self.unused().await?);
        let mut removed = Ok(0);
        for (target, listed) in listings {
            let known = before.remove(&target);
            let done = match listed {
                Listed::Records(zone, listed) => {
                    let known = if let Some(Found::Records(known)) = known { known } else { Vec::new() };
                    let found = listed.map_err(OrphanSweepError::from).and_then(|listed| {
                        let found = orphans(&name, &listed, &servers, &free);
                        found.map_err(|doubt| OrphanSweepError::Doubtful { target, doubt })
                    });
                    match found {
                        Ok(found) => self.judge_records((target, zone), &name, found, &known).await,
                        Err(error) => Err(error),
                    }
                }
                Listed::Registrations(proxy, listed) => {
                    let known = if let Some(Found::Registrations(known)) = known { known } else { Vec::new() };
                    let free: BTreeSet<VmId> = free.difference(&servers).copied().collect();
                    match listed {
                        Ok(listed) => self.judge_registrations((target, proxy), &name, listed, &free, &known).await,
                        Err(error) => Err(error.into()),
                    }
                }
            };
            removed = add(removed, done);
        }
        removed
    }

    /// Removes the registrations that the last pass has `known` as orphaned, and remembers the others.
    async fn judge_registrations(
        &mut self,
        (target, proxy): (Target, &dyn GameProxy),
        name: &DnsName,
        listed: Vec<ProxyEntry>,
        free: &BTreeSet<VmId>,
        known: &[ProxyEntry],
    ) -> Result<usize, OrphanSweepError> {
        let found = orphaned(&self.deps.db, name, listed, free).await?;
        let (again, new): (Vec<_>, Vec<_>) = found.into_iter().partition(|entry| known.contains(entry));
        let mut removed = 0;
        if !again.is_empty() {
            // A new server may have taken the VMID meanwhile.
            let free = self.released().await?;
            for entry in orphaned(&self.deps.db, name, again, &free).await? {
                removed += usize::from(unregister(proxy, &entry).await.map_err(EdgeError::from)?);
            }
        }
        self.seen.insert(target, Found::Registrations(new));
        Ok(removed)
    }

    /// Removes the records that the last pass has `known` as orphaned, and remembers the others.
    async fn judge_records(
        &mut self,
        (target, zone): (Target, &dyn DnsZone),
        name: &DnsName,
        found: Vec<ZoneRecord>,
        known: &[ZoneRecord],
    ) -> Result<usize, OrphanSweepError> {
        let (again, new): (Vec<_>, Vec<_>) = found.into_iter().partition(|record| known.contains(record));
        let mut removed = 0;
        if !again.is_empty() {
            // A new server may have taken the VMID meanwhile.
            let free = self.released().await?;
            let is_free = |record: &ZoneRecord| owner_of(name, record).is_some_and(|vmid| free.contains(&vmid));
            for record in again.iter().filter(|record| is_free(record)) {
                let gone = remove(zone, target, record).await;
                removed += usize::from(gone.map_err(|source| EdgeError::Zone { target, source })?);
            }
        }
        self.seen.insert(target, Found::Records(new));
        Ok(removed)
    }

    /// The VMIDs that were given out and that no server, operation, debt or container holds.
    async fn unused(&self) -> Result<BTreeSet<VmId>, OrphanSweepError> {
        let mut free = self.released().await?;
        for container in list_all(self.deps.hypervisor.as_ref()).await? {
            free.remove(&container.vmid);
        }
        Ok(free)
    }

    async fn servers(&self) -> Result<BTreeSet<VmId>, DbErr> {
        Ok(servers::store::list_vmids(&self.deps.db).await?.into_iter().collect())
    }

    /// The VMIDs that were given out and released.
    async fn released(&self) -> Result<BTreeSet<VmId>, DbErr> {
        Ok(vmids::list_released(&self.deps.db).await?.into_iter().collect())
    }
}

/// Both counts together, or the first error.
fn add(all: Result<usize, OrphanSweepError>, here: Result<usize, OrphanSweepError>) -> Result<usize, OrphanSweepError> {
    match (all, here) {
        (Ok(all), Ok(here)) => Ok(all + here),
        (Err(first), _) | (Ok(_), Err(first)) => Err(first),
    }
}

/// The registrations of a proxy; a bridge that cannot list shows none.
async fn list_registrations(proxy: &dyn GameProxy) -> Result<Vec<ProxyEntry>, EdgeError> {
    match proxy.list().await {
        Ok(listed) => Ok(listed.servers),
        Err(ProxyError::Unsupported { .. }) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Removes a record if it is still there in the form in which it was listed; whether it was.
async fn remove(zone: &dyn DnsZone, target: Target, record: &ZoneRecord) -> Result<bool, ZoneError> {
    if !zone.records_at(std::slice::from_ref(&record.name)).await?.contains(record) {
        return Ok(false);
    }
    zone.apply(&[ZoneChange::Delete(record.clone())]).await?;
    let (name, kind, mark) = (&record.name, record.data.record_type(), record.comment.as_deref().unwrap_or_default());
    tracing::warn!(%target, %name, %kind, mark, "removed {kind} {name} from {target}: its server is gone");
    Ok(true)
}
