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
use crate::edge::{EdgeError, EdgeRecord, Ownership, Target, WantedRecord, describe, judge};
use crate::kernel::{Classify, DnsName, Failure, Timestamp};
use crate::ports::{DnsZone, RecordId, ZoneChange, ZoneError, ZoneRecord};

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
    /// generations at `names` are removed; what is foreign is never changed, and in the way if it counts.
    async fn converge(
        &self,
        names: &BTreeSet<DnsName>,
        (ownership, name): (Ownership<'_>, &DnsName),
        wanted: &[WantedRecord],
    ) -> Result<Vec<RecordId>, EdgeError> {
        let mut last = None;
        for _ in 0..=ROUNDS {
            let judgement = judge(ownership, name, wanted, &self.read(names).await?);
            if judgement.changes.is_empty() {
                return match judgement.obstacle() {
                    Some(detail) => Err(EdgeError::Conflict { target: self.kind, detail }),
                    None => {
                        if wanted.is_empty() && !judgement.harmless.is_empty() {
                            let stays = describe(&judgement.harmless);
                            tracing::info!(target = %self.kind, "stays at the names of {}: {stays}", ownership.vmid);
                        }
                        Ok(judgement.ids)
                    }
                };
            }
            last = self.apply(&judgement.changes).await?;
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
        let (publication, known) = (&record.publication, record.known(self.kind));
        let ownership = Ownership { vmid: publication.vmid, known: &known };
        self.converge(&record.names, (ownership, &publication.name), &wanted).await
    }

    async fn unpublish(&self, plan: &UnpublishPlan) -> Result<(), EdgeError> {
        let ownership = Ownership { vmid: plan.vmid, known: &plan.known };
        self.converge(&plan.names, (ownership, &plan.name), &[]).await.map(drop)
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
