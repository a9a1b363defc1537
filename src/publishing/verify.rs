//! Reads what every target has of a server and compares it with what it should have. Changes nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;

use super::error::PublishError;
use super::publisher::Publisher;
use super::report::{TargetReport, TargetVerdict};
use crate::edge::{EDGE_KEY, EdgeError, EdgeRecord, Intent, Target};
use crate::kernel::VmId;
use crate::servers::{payload, store};

/// How long one target may take to be read.
const TARGET_TIMEOUT: Duration = Duration::from_secs(10);

impl Publisher {
    /// Compares every target of server `vmid`; `None` when it was never published.
    pub async fn verify(&self, vmid: VmId) -> Result<Option<Vec<TargetReport>>, PublishError> {
        let row = store::find(&self.db, vmid).await?.ok_or(PublishError::Deleting { vmid })?;
        let Some(record): Option<EdgeRecord> = payload::read(&row, EDGE_KEY)? else { return Ok(None) };
        let targets: BTreeSet<Target> = match record.intent {
            Intent::Published => record.publication.targets(),
            Intent::Unpublished => record.targets.keys().copied().collect(),
        };
        let reports = targets.into_iter().map(|target| self.verify_target(target, &record));
        Ok(Some(join_all(reports).await))
    }

    async fn verify_target(&self, target: Target, record: &EdgeRecord) -> TargetReport {
        let work = async { self.targets.require(target)?.verify(record).await };
        let outcome = tokio::time::timeout(TARGET_TIMEOUT, work).await;
        let outcome = outcome.unwrap_or(Err(EdgeError::TooSlow { target, timeout: TARGET_TIMEOUT }));
        outcome.unwrap_or_else(|error| TargetReport::new(target, vec![(TargetVerdict::Unknown, error.to_string())]))
    }
}
