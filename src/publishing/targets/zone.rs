//! A DNS server as a target.
//!
//! Each round reads, compares, changes, and reads again: success is what was read back (invariant S9), and what a lost
//! answer has changed is found by the next reading, never by a blind repetition.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;

use super::super::report::TargetReport;
use super::super::unpublish::UnpublishPlan;
use super::zone_report::differences;
use super::{EdgeTarget, Holdings};
use crate::edge::{Conflict, EdgeError, EdgeRecord, OwnerMark, RecordVerdict, Target, WantedRecord, compare};
use crate::kernel::{Classify, DnsName, Failure, Timestamp, VmId};
use crate::ports::{DnsZone, RecordId, RecordType, ZoneChange, ZoneError, ZoneRecord};

/// How often a zone is changed and read again in one attempt.
const ROUNDS: u32 = 4;

/// A DNS server.
pub(super) struct ZoneTarget {
    kind: Target,
    zone: Arc<dyn DnsZone>,
}

impl ZoneTarget {
    pub(super) fn new(kind: Target, zone: Arc<dyn DnsZone>) -> Self {
        Self { kind, zone }
    }

    /// Makes the zone hold exactly `wanted` of ours at `names`, and returns the ids of those records. Our records of older
    /// generations at `names` are removed; what does not carry our mark is never changed.
    async fn converge(
        &self,
        names: &BTreeSet<DnsName>,
        vmid: VmId,
        wanted: &[WantedRecord],
    ) -> Result<Vec<RecordId>, EdgeError> {
        let mut last = None;
        for _ in 0..=ROUNDS {
            let round = Round::plan(self.kind, &self.read(names).await?, vmid, wanted)?;
            if round.changes.is_empty() {
                return match round.in_the_way {
                    Some(detail) => Err(EdgeError::Conflict { target: self.kind, detail }),
                    None => Ok(round.ids),
                };
            }
            last = self.apply(&round.changes).await?;
        }
        Err(last.map_or(EdgeError::Unsettled { target: self.kind, rounds: ROUNDS }, |source| self.failed(source)))
    }

    async fn read(&self, names: &BTreeSet<DnsName>) -> Result<Vec<ZoneRecord>, EdgeError> {
        let names: Vec<DnsName> = names.iter().cloned().collect();
        self.zone.records_at(&names).await.map_err(|source| self.failed(source))
    }

    /// Makes the changes. An error that leaves open what was changed is returned as a value: the next reading shows it.
    async fn apply(&self, changes: &[ZoneChange]) -> Result<Option<ZoneError>, EdgeError> {
        match self.zone.apply(changes).await {
            Ok(()) => Ok(None),
            Err(error) if error.failure() == Failure::Ambiguous => {
                tracing::debug!(target = %self.kind, %error, "the result of a change is unknown, reading again");
                Ok(Some(error))
            }
            Err(source) => Err(self.failed(source)),
        }
    }

    fn failed(&self, source: ZoneError) -> EdgeError {
        EdgeError::Zone { target: self.kind, source }
    }
}

#[async_trait]
impl EdgeTarget for ZoneTarget {
    fn kind(&self) -> Target {
        self.kind
    }

    async fn publish(&self, record: &EdgeRecord) -> Result<Vec<RecordId>, EdgeError> {
        let wanted = record.publication.wanted(self.kind, record.generation);
        self.converge(&record.names, record.publication.vmid, &wanted).await
    }

    async fn unpublish(&self, plan: &UnpublishPlan) -> Result<(), EdgeError> {
        self.converge(&plan.names, plan.vmid, &[]).await.map(drop)
    }

    async fn verify(&self, record: &EdgeRecord) -> Result<TargetReport, EdgeError> {
        let listed = self.read(&record.names).await?;
        Ok(TargetReport::new(self.kind, differences(self.kind, record, &listed)))
    }

    async fn check(&self) -> Result<Option<Timestamp>, EdgeError> {
        let health = self.zone.check().await.map_err(|source| self.failed(source))?;
        Ok(health.token_expires_at)
    }

    fn holdings(&self) -> Holdings<'_> {
        Holdings::Records(self.zone.as_ref())
    }
}

/// What one reading shows.
struct Round {
    /// What has to change.
    changes: Vec<ZoneChange>,
    /// The ids of the records that are right.
    ids: Vec<RecordId>,
    /// Records of others beside one of ours, which keep it from working.
    in_the_way: Option<String>,
}

impl Round {
    fn plan(target: Target, listed: &[ZoneRecord], vmid: VmId, wanted: &[WantedRecord]) -> Result<Self, EdgeError> {
        let stale = listed.iter().filter(|record| {
            OwnerMark::of(record).is_some_and(|mark| mark.vmid == vmid)
                && !wanted.iter().any(|one| one.same_name_and_type(record))
        });
        let changes = stale.map(|record| ZoneChange::Delete(record.clone())).collect();
        let mut round = Self { changes, ids: Vec::new(), in_the_way: None };
        for record in wanted {
            let (verdict, changes) = compare(record, listed);
            match verdict {
                RecordVerdict::Conflict(conflict) => {
                    return Err(EdgeError::Conflict { target, detail: conflict.to_string() });
                }
                RecordVerdict::InSync { record, .. } => round.ids.extend(record.id),
                RecordVerdict::Drifted { .. } if changes.is_empty() => round.in_the_way = Some(beside(record, listed)),
                RecordVerdict::Missing | RecordVerdict::Drifted { .. } => {}
            }
            for change in changes {
                if !round.changes.contains(&change) {
                    round.changes.push(change);
                }
            }
        }
        Ok(round)
    }
}

/// The IPv6 addresses of others beside `wanted`, which clients prefer to it.
fn beside(wanted: &WantedRecord, listed: &[ZoneRecord]) -> String {
    let v6 = listed.iter().filter(|record| record.name == wanted.name && record.data.record_type() == RecordType::Aaaa);
    Conflict::Foreign(v6.cloned().collect()).to_string()
}
