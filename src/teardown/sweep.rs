//! Removes records that carry our mark and belong to no server (wire/edge.md A8, case 19): what a lost debt, a restored
//! database or a forced release left in the zones.
//!
//! A record goes when two passes in a row found it in the same form, each from a complete listing of the zone, of the
//! servers and of the cluster, in this order: a server is in the database before it is in a zone. When any of them cannot
//! be read, or says something hard to believe, nothing is removed and the counting begins anew. Only numbers
//! that this database has given out and got back are looked at: what an operation or a debt still holds is left to it, and a
//! mark with a number that was never ours belongs to another installation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sea_orm::{ColumnTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter, QuerySelect};
use tokio_util::sync::CancellationToken;

use crate::containers::{NotListed, list_all};
use crate::db::entities::instance;
use crate::db::entities::reservation::{self, ReservationState};
use crate::edge::{Doubt, Target, Targets, orphans, owner_of};
use crate::kernel::{DnsName, VmId};
use crate::ports::{DnsZone, Hypervisor, ZoneChange, ZoneError, ZoneRecord};
use crate::telemetry::Outage;

/// What the sweep works with.
#[derive(Clone)]
pub struct SweepDeps {
    /// The servers.
    pub db: DatabaseConnection,
    /// The cluster.
    pub hypervisor: Arc<dyn Hypervisor>,
    /// The zones, for work in the background.
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
    /// What was read is not believed.
    #[error("{target}: {doubt}; nothing is removed")]
    Doubtful {
        /// The zone.
        target: Target,
        /// Why.
        doubt: Doubt,
    },
}

/// Removes orphans of the zones.
pub struct Sweep {
    deps: SweepDeps,
    /// What the last look at each zone found, if it could look at all.
    seen: BTreeMap<Target, Vec<ZoneRecord>>,
}

impl Sweep {
    /// A sweep that has seen nothing yet.
    pub fn new(deps: SweepDeps) -> Self {
        Self { deps, seen: BTreeMap::new() }
    }

    /// What it works with.
    pub fn deps(&self) -> &SweepDeps {
        &self.deps
    }

    /// Works until `stop` fires, a pass each `interval`.
    pub async fn run(mut self, interval: Duration, stop: CancellationToken) {
        let outage = Outage::of("sweeping the zones for orphans");
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(interval) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                passed = self.pass() => match passed {
                    Ok(_) => outage.works(),
                    Err(error) => outage.failed(error),
                },
            }
        }
    }

    /// Looks at every zone once; how many records were removed. A zone that fails does not hold up the other.
    pub async fn pass(&mut self) -> Result<usize, SweepError> {
        let mut removed = Ok(0);
        for target in [Target::Technitium, Target::Cloudflare] {
            // Taken out: a look that fails is no sighting.
            let before = self.seen.remove(&target).unwrap_or_default();
            let done = self.sweep(target, &before).await;
            removed = match (removed, done) {
                (Ok(all), Ok(here)) => Ok(all + here),
                (Err(first), _) | (Ok(_), Err(first)) => Err(first),
            };
        }
        removed
    }

    async fn sweep(&mut self, target: Target, before: &[ZoneRecord]) -> Result<usize, SweepError> {
        let (Some(name), Ok(zone)) = (&self.deps.zone, self.deps.targets.zone(target)) else { return Ok(0) };
        let failed = |source| SweepError::Zone { target, source };
        let listed = zone.list().await.map_err(failed)?;
        let (servers, mut free) = tokio::try_join!(self.servers(), self.released())?;
        for container in list_all(self.deps.hypervisor.as_ref()).await? {
            free.remove(&container.vmid);
        }
        let found = orphans(name, &listed, &servers, &free);
        let found = found.map_err(|doubt| SweepError::Doubtful { target, doubt })?;
        let (again, new) = found.into_iter().partition(|record| before.contains(record));
        let removed = self.remove(target, again).await?;
        self.seen.insert(target, new);
        Ok(removed)
    }

    /// Removes what is still there in the form it was seen in, of numbers nobody has taken meanwhile.
    async fn remove(&self, target: Target, records: Vec<ZoneRecord>) -> Result<usize, SweepError> {
        let (Some(name), Ok(zone), false) = (&self.deps.zone, self.deps.targets.zone(target), records.is_empty())
        else {
            return Ok(0);
        };
        let free = self.released().await?;
        let failed = |source| SweepError::Zone { target, source };
        let mut removed = 0;
        for record in records {
            let is_free = owner_of(name, &record).is_some_and(|vmid| free.contains(&vmid));
            if is_free && still_there(zone, &record).await.map_err(failed)? {
                zone.apply(&[ZoneChange::Delete(record.clone())]).await.map_err(failed)?;
                let (name, kind, mark) = (&record.name, record.data.record_type(), record.comment.as_deref());
                let mark = mark.unwrap_or_default();
                tracing::warn!(%target, %name, %kind, mark, "removed {kind} {name} from {target}: its server is gone");
                removed += 1;
            }
        }
        Ok(removed)
    }

    async fn servers(&self) -> Result<BTreeSet<VmId>, DbErr> {
        let rows = instance::Entity::find().select_only().column(instance::Column::Vmid).into_tuple::<VmId>();
        Ok(rows.all(&self.deps.db).await?.into_iter().collect())
    }

    /// The numbers that were given out once and that nobody holds: neither a server, nor an operation, nor a debt.
    async fn released(&self) -> Result<BTreeSet<VmId>, DbErr> {
        let rows = reservation::Entity::find()
            .select_only()
            .column(reservation::Column::Vmid)
            .filter(reservation::Column::State.eq(ReservationState::Released))
            .into_tuple::<VmId>();
        Ok(rows.all(&self.deps.db).await?.into_iter().collect())
    }
}

async fn still_there(zone: &dyn DnsZone, record: &ZoneRecord) -> Result<bool, ZoneError> {
    Ok(zone.records_at(std::slice::from_ref(&record.name)).await?.contains(record))
}
