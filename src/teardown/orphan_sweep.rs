//! Removes records that carry our mark and belong to no server (docs/contracts/edge.md A8, case 19): what a lost debt,
//! a restored database or a forced release left in the zones; and what deleted servers left at the proxy
//! ([`super::stray`]).
//!
//! A record goes when two passes in a row found it in the same form, each from a complete listing of the zone, of the
//! servers and of the cluster, in this order: a server is in the database before it is in a zone. When any of them
//! cannot be read, or says something hard to believe, nothing is removed and the counting begins anew. Only numbers
//! that this database has given out and got back are looked at: what an operation or a debt still holds is left to it,
//! and a mark with a number that was never ours belongs to another installation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sea_orm::{DatabaseConnection, DbErr};
use tokio_util::sync::CancellationToken;

use super::stray::{strays, unregister};
use crate::background::{First, Report, Schedule, Task, TaskName, Trouble};
use crate::containers::{NotListed, list_all};
use crate::edge::{Doubt, Target, Targets, orphans, owner_of};
use crate::kernel::{DnsName, VmId};
use crate::ports::{
    DnsZone, GameProxy, Hypervisor, ProxyEntry, ProxyError, ProxyListing, ZoneChange, ZoneError, ZoneRecord,
};
use crate::servers::{self, vmids};

/// How often the zones are read whole.
const INTERVAL: Duration = Duration::from_secs(600);

/// What the sweep works with.
#[derive(Clone)]
pub struct SweepDeps {
    /// The servers.
    pub db: DatabaseConnection,
    /// The cluster.
    pub hypervisor: Arc<dyn Hypervisor>,
    /// The zones and the proxy, for work in the background.
    pub targets: Targets,
    /// The zone servers are named in; without one there is nothing to sweep.
    pub zone: Option<DnsName>,
}

/// Why nothing was removed.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The servers cannot be read.
    #[error("the servers cannot be listed: {0}")]
    Database(#[from] DbErr),
    /// The cluster cannot be read.
    #[error(transparent)]
    Cluster(#[from] NotListed),
    /// A zone cannot be read or changed.
    #[error("{target}: {source}")]
    Zone {
        /// Which.
        target: Target,
        /// Why.
        source: ZoneError,
    },
    /// The proxy cannot be read or changed.
    #[error("velocity: {0}")]
    Proxy(#[from] ProxyError),
    /// What was read is not believed.
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
    deps: SweepDeps,
    /// What the last look at each zone found, if it could look at all.
    seen: BTreeMap<Target, Vec<ZoneRecord>>,
    /// What the last look at the proxy found.
    strays: Vec<ProxyEntry>,
}

#[async_trait]
impl Task for OrphanSweep {
    fn name(&self) -> TaskName {
        TaskName::of("orphan-sweep")
    }

    /// An orphan goes at the second look, so there is no hurry about the first.
    fn schedule(&self) -> Schedule {
        Schedule::every(INTERVAL).first(First::AfterPeriod)
    }

    /// A look that is broken off is none: what it found is forgotten.
    async fn pass(&mut self, stop: &CancellationToken) -> Result<Report, Trouble> {
        match stop.run_until_cancelled(self.sweep()).await {
            Some(removed) => Ok(Report::done(removed?)),
            None => Ok(Report::default()),
        }
    }
}

impl OrphanSweep {
    /// A sweep that has seen nothing yet.
    pub fn new(deps: SweepDeps) -> Self {
        Self { deps, seen: BTreeMap::new(), strays: Vec::new() }
    }

    /// What it works with.
    pub fn deps(&self) -> &SweepDeps {
        &self.deps
    }

    /// Looks at every zone and at the proxy once; how much was removed. One that fails does not hold up the others.
    pub async fn sweep(&mut self) -> Result<usize, SweepError> {
        // Taken out: a look that fails is no sighting.
        let (before, known) = (std::mem::take(&mut self.seen), std::mem::take(&mut self.strays));
        let SweepDeps { targets, zone: Some(name), .. } = self.deps.clone() else { return Ok(0) };
        let mut zones = Vec::new();
        for target in [Target::Technitium, Target::Cloudflare] {
            if let Ok(zone) = targets.zone(target) {
                zones.push((target, zone, zone.list().await));
            }
        }
        let proxy = match targets.proxy() {
            Ok(proxy) => Some((proxy, proxy.list().await)),
            Err(_) => None,
        };
        let (servers, free) = (self.servers().await?, self.unused().await?);
        let mut removed = Ok(0);
        for (target, zone, listed) in zones {
            let failed = |source| SweepError::Zone { target, source };
            let found = listed.map_err(failed).and_then(|listed| {
                orphans(&name, &listed, &servers, &free).map_err(|doubt| SweepError::Doubtful { target, doubt })
            });
            let known = before.get(&target).map(Vec::as_slice).unwrap_or_default();
            let done = match found {
                Ok(found) => self.judge(target, zone, &name, found, known).await,
                Err(error) => Err(error),
            };
            removed = add(removed, done);
        }
        if let Some((proxy, listed)) = proxy {
            let free: BTreeSet<VmId> = free.difference(&servers).copied().collect();
            removed = add(removed, self.judge_proxy(proxy, &name, listed, &free, &known).await);
        }
        removed
    }

    /// Takes out what was `known` to be a stray already, and remembers the others. A bridge that cannot list shows
    /// none.
    async fn judge_proxy(
        &mut self,
        proxy: &dyn GameProxy,
        name: &DnsName,
        listed: Result<ProxyListing, ProxyError>,
        free: &BTreeSet<VmId>,
        known: &[ProxyEntry],
    ) -> Result<usize, SweepError> {
        let listed = match listed {
            Ok(listed) => listed.servers,
            Err(ProxyError::Unsupported { .. }) => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        let found = strays(&self.deps.db, name, listed, free).await?;
        let (again, new): (Vec<_>, Vec<_>) = found.into_iter().partition(|entry| known.contains(entry));
        let mut removed = 0;
        if !again.is_empty() {
            // Nobody may have taken the number meanwhile.
            let free = self.released().await?;
            for entry in strays(&self.deps.db, name, again, &free).await? {
                removed += usize::from(unregister(proxy, &entry).await?);
            }
        }
        self.strays = new;
        Ok(removed)
    }

    /// Removes what was `known` to be an orphan already, and remembers the others.
    async fn judge(
        &mut self,
        target: Target,
        zone: &dyn DnsZone,
        name: &DnsName,
        found: Vec<ZoneRecord>,
        known: &[ZoneRecord],
    ) -> Result<usize, SweepError> {
        let (again, new): (Vec<_>, Vec<_>) = found.into_iter().partition(|record| known.contains(record));
        let mut removed = 0;
        if !again.is_empty() {
            // Nobody may have taken the number meanwhile.
            let free = self.released().await?;
            let is_free = |record: &ZoneRecord| owner_of(name, record).is_some_and(|vmid| free.contains(&vmid));
            for record in again.iter().filter(|record| is_free(record)) {
                let gone = remove(zone, target, record).await;
                removed += usize::from(gone.map_err(|source| SweepError::Zone { target, source })?);
            }
        }
        self.seen.insert(target, new);
        Ok(removed)
    }

    /// The numbers that were given out once and that nobody holds, be it a server, an operation, a debt or a container.
    async fn unused(&self) -> Result<BTreeSet<VmId>, SweepError> {
        let mut free = self.released().await?;
        for container in list_all(self.deps.hypervisor.as_ref()).await? {
            free.remove(&container.vmid);
        }
        Ok(free)
    }

    async fn servers(&self) -> Result<BTreeSet<VmId>, DbErr> {
        Ok(servers::store::list_vmids(&self.deps.db).await?.into_iter().collect())
    }

    /// The numbers that were given out once and got back.
    async fn released(&self) -> Result<BTreeSet<VmId>, DbErr> {
        Ok(vmids::list_released(&self.deps.db).await?.into_iter().collect())
    }
}

/// Both counts together, or the first error.
fn add(all: Result<usize, SweepError>, here: Result<usize, SweepError>) -> Result<usize, SweepError> {
    match (all, here) {
        (Ok(all), Ok(here)) => Ok(all + here),
        (Err(first), _) | (Ok(_), Err(first)) => Err(first),
    }
}

/// Removes a record if it is still there in the form it was seen in; whether it was.
async fn remove(zone: &dyn DnsZone, target: Target, record: &ZoneRecord) -> Result<bool, ZoneError> {
    if !zone.records_at(std::slice::from_ref(&record.name)).await?.contains(record) {
        return Ok(false);
    }
    zone.apply(&[ZoneChange::Delete(record.clone())]).await?;
    let (name, kind, mark) = (&record.name, record.data.record_type(), record.comment.as_deref().unwrap_or_default());
    tracing::warn!(%target, %name, %kind, mark, "removed {kind} {name} from {target}: its server is gone");
    Ok(true)
}
