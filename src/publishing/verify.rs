//! Reads what every target has of a server and compares it with what it should have. Changes nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;

use super::publisher::{PublishError, Publisher};
use super::zone::is_ours;
use crate::edge::{
    Conflict, EDGE_KEY, EdgeError, EdgeRecord, Intent, ProxyVerdict, Target, Verdict, compare, compare_proxy,
};
use crate::kernel::{DnsName, VmId, text_enum};
use crate::ports::{ProxyEntry, ZoneRecord};
use crate::servers::{payload, store};

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
        let row = store::find(&self.db, vmid).await?.ok_or(PublishError::Deleting { vmid })?;
        let Some(record): Option<EdgeRecord> = payload::read(&row, EDGE_KEY)? else { return Ok(None) };
        let targets: BTreeSet<Target> = match record.intent {
            Intent::Published => record.publication.targets(),
            Intent::Withdrawn => record.targets.keys().copied().collect(),
        };
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
        match target {
            Target::Velocity => Ok(look_at_proxy(record, &self.targets.proxy()?.list().await?.servers)),
            Target::Technitium | Target::Cloudflare => {
                let names: Vec<DnsName> = record.names.iter().cloned().collect();
                let zone = self.targets.zone(target)?;
                let listed = zone.records_at(&names).await.map_err(|source| EdgeError::Zone { target, source })?;
                Ok(look_at_zone(target, record, &listed))
            }
            // What they read is what we wrote.
            Target::Traefik | Target::Ide => Ok((TargetVerdict::InSync, Vec::new())),
        }
    }
}

fn look_at_proxy(record: &EdgeRecord, listed: &[ProxyEntry]) -> (TargetVerdict, Vec<String>) {
    let Some(wanted) = &record.publication.registration else { return (TargetVerdict::InSync, Vec::new()) };
    match (record.intent, compare_proxy(wanted, listed).0) {
        (Intent::Published, ProxyVerdict::InSync) | (Intent::Withdrawn, ProxyVerdict::Missing) => {
            (TargetVerdict::InSync, Vec::new())
        }
        (Intent::Published, ProxyVerdict::Missing) => {
            (TargetVerdict::Missing, vec![format!("{} is not registered", wanted.name)])
        }
        (Intent::Published, ProxyVerdict::Drifted(drifts)) => {
            (TargetVerdict::Drifted, drifts.iter().map(|drift| format!("registration: {drift}")).collect())
        }
        (Intent::Withdrawn, ProxyVerdict::InSync | ProxyVerdict::Drifted(_)) => {
            (TargetVerdict::Drifted, vec![format!("{} is still registered", wanted.name)])
        }
    }
}

/// What a zone holds of the server beside what it should, and in what that differs. Records of others at its names are
/// named too; alone they are no difference.
fn look_at_zone(target: Target, record: &EdgeRecord, listed: &[ZoneRecord]) -> (TargetVerdict, Vec<String>) {
    let publication = &record.publication;
    let wanted = match record.intent {
        Intent::Published => publication.wanted(target, record.generation),
        Intent::Withdrawn => Vec::new(),
    };
    let mut found = Vec::new();
    for wanted in &wanted {
        let kind = wanted.data.record_type();
        let said = |what: String| format!("{kind} {}: {what}", wanted.name);
        let foreign = match compare(wanted, listed).0 {
            Verdict::InSync { foreign, .. } => foreign,
            Verdict::Missing => {
                found.push((TargetVerdict::Missing, said("missing".to_owned())));
                Vec::new()
            }
            Verdict::Drifted { drifts, foreign } => {
                let drifts: Vec<&str> = drifts.into_iter().map(|drift| drift.as_str()).collect();
                found.push((TargetVerdict::Drifted, said(drifts.join(", "))));
                foreign
            }
            Verdict::Conflict(conflict) => {
                found.push((TargetVerdict::Conflict, said(conflict.to_string())));
                Vec::new()
            }
        };
        if !foreign.is_empty() {
            found.push((TargetVerdict::InSync, said(Conflict::Foreign(foreign).to_string())));
        }
    }
    let is_wanted = |held: &ZoneRecord| {
        wanted.iter().any(|one| one.name == held.name && one.data.record_type() == held.data.record_type())
    };
    let left = listed.iter().filter(|held| is_ours(held, publication.vmid) && !is_wanted(held));
    found.extend(
        left.map(|held| (TargetVerdict::Drifted, format!("{} {}: still there", held.data.record_type(), held.name))),
    );
    let worst = found.iter().map(|(verdict, _)| *verdict).max().unwrap_or(TargetVerdict::InSync);
    (worst, found.into_iter().map(|(_, detail)| detail).collect())
}
