//! Reads what every target has of a server and compares it with what it should have. Changes nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::publisher::{PublishError, Publisher};
use crate::db::entities::instance;
use crate::db::payload;
use crate::edge::{EDGE_KEY, EdgeError, EdgeRecord, ProxyVerdict, Target, Verdict, compare, compare_proxy};
use crate::kernel::{DnsName, VmId, text_enum};

/// How long one target may take to be read.
const PATIENCE: Duration = Duration::from_secs(10);

text_enum! {
    /// What was found at a target.
    pub enum TargetVerdict {
        /// It has what it should have.
        InSync = "in_sync",
        /// It lacks something.
        Missing = "missing",
        /// It has it in another form.
        Drifted = "drifted",
        /// Something of somebody else's is in the way.
        Conflict = "conflict",
        /// It could not be read.
        Unknown = "unknown",
    }
}

/// What was found at one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetReport {
    /// The target.
    pub target: Target,
    /// What was found, the worst of it.
    pub verdict: TargetVerdict,
    /// What stands out, a line each.
    pub details: Vec<String>,
}

impl Publisher {
    /// Looks at every target of server `vmid`; `None` when it was never published.
    pub async fn verify(&self, vmid: VmId) -> Result<Option<Vec<TargetReport>>, PublishError> {
        let row = instance::Entity::find().filter(instance::Column::Vmid.eq(vmid)).one(&self.db).await?;
        let row = row.ok_or(PublishError::Deleting { vmid })?;
        let Some(record): Option<EdgeRecord> = payload::read(&row, EDGE_KEY)? else { return Ok(None) };
        let targets: BTreeSet<Target> = record.publication.targets();
        let reports = targets.into_iter().map(|target| {
            let record = &record;
            async move {
                let outcome = tokio::time::timeout(PATIENCE, self.look(target, record)).await;
                let outcome = outcome.unwrap_or(Err(EdgeError::TooSlow { target, patience: PATIENCE }));
                let (verdict, details) =
                    outcome.unwrap_or_else(|error| (TargetVerdict::Unknown, vec![error.to_string()]));
                TargetReport { target, verdict, details }
            }
        });
        Ok(Some(join_all(reports).await))
    }

    async fn look(&self, target: Target, record: &EdgeRecord) -> Result<(TargetVerdict, Vec<String>), EdgeError> {
        let publication = &record.publication;
        match target {
            Target::Velocity => {
                let Some(wanted) = &publication.registration else { return Ok((TargetVerdict::InSync, Vec::new())) };
                let listing = self.targets.proxy()?.list().await?;
                Ok(match compare_proxy(wanted, &listing.servers).0 {
                    ProxyVerdict::InSync => (TargetVerdict::InSync, Vec::new()),
                    ProxyVerdict::Missing => {
                        (TargetVerdict::Missing, vec![format!("{} is not registered", wanted.name)])
                    }
                    ProxyVerdict::Drifted(drifts) => {
                        (TargetVerdict::Drifted, drifts.iter().map(|drift| format!("registration: {drift}")).collect())
                    }
                })
            }
            Target::Technitium | Target::Cloudflare => {
                let names: Vec<DnsName> = record.names.iter().cloned().collect();
                let zone = self.targets.zone(target)?;
                let listed = zone.records_at(&names).await.map_err(|source| EdgeError::Zone { target, source })?;
                let found = publication.wanted(target, record.generation).into_iter().map(|wanted| {
                    let kind = wanted.data.record_type();
                    let said = |what: String| format!("{kind} {}: {what}", wanted.name);
                    match compare(&wanted, &listed).0 {
                        Verdict::InSync { .. } => (TargetVerdict::InSync, None),
                        Verdict::Missing => (TargetVerdict::Missing, Some(said("missing".to_owned()))),
                        Verdict::Drifted { drifts, .. } => {
                            let drifts: Vec<&str> = drifts.into_iter().map(|drift| drift.as_str()).collect();
                            (TargetVerdict::Drifted, Some(said(drifts.join(", "))))
                        }
                        Verdict::Conflict(conflict) => (TargetVerdict::Conflict, Some(said(conflict.to_string()))),
                    }
                });
                let found: Vec<_> = found.collect();
                let worst = found.iter().map(|(verdict, _)| *verdict).max().unwrap_or(TargetVerdict::InSync);
                Ok((worst, found.into_iter().filter_map(|(_, detail)| detail).collect()))
            }
            // What they read is what we wrote.
            Target::Traefik | Target::Ide => Ok((TargetVerdict::InSync, Vec::new())),
        }
    }
}
