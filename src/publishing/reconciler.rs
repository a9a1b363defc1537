//! Retries unfinished publications: targets that failed when they are due again, work whose process died, and the
//! registrations of a proxy that was restarted.
//!
//! A due server is claimed by moving its due time, so that several processes share the work. What is due is decided by the
//! clock of the process, which can only make it early or late.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use sea_orm::DbErr;
use tokio_util::sync::CancellationToken;

use super::error::PublishError;
use super::generation::{CLAIM_TIMEOUT, TargetSelection};
use super::publisher::Publisher;
use crate::background::{PassError, Report, Schedule, Task, TaskName};
use crate::db::entities::instance;
use crate::edge::{EDGE_KEY, EdgeRecord, Intent};
use crate::kernel::VmId;
use crate::servers::{payload, store};

/// How many servers are claimed in one pass.
const BATCH: u64 = 64;
/// How many of them are worked on at the same time.
const AT_A_TIME: usize = 8;

/// Finishes publications.
pub struct Reconciler {
    /// Publishes them.
    pub publisher: Publisher,
    /// How often it reads what is due.
    pub interval: Duration,
}

#[async_trait]
impl Task for Reconciler {
    fn name(&self) -> TaskName {
        TaskName::of("edge-reconciler")
    }

    fn schedule(&self) -> Schedule {
        Schedule::every(self.interval)
    }

    async fn pass(&mut self, stop: &CancellationToken) -> Result<Report, PassError> {
        Ok(Report::done(self.reconcile(stop).await?))
    }
}

impl Reconciler {
    /// Works on what is due now, and begins nothing more once `stop` fires; how many servers it worked on.
    pub async fn reconcile(&self, stop: &CancellationToken) -> Result<usize, DbErr> {
        let now = self.publisher.clock.now();
        let due = store::list_due(&self.publisher.db, now, BATCH).await?;
        let due = stream::iter(due).take_until(stop.cancelled());
        let taken = due.map(|row| self.reconcile_one(row)).buffer_unordered(AT_A_TIME);
        Ok(taken.filter(|taken| std::future::ready(*taken)).count().await)
    }

    /// Claims one server and works on it; false when another process was faster.
    async fn reconcile_one(&self, row: instance::Model) -> bool {
        let vmid = row.vmid;
        let until = self.publisher.clock.now().after(CLAIM_TIMEOUT);
        match store::mark_due(&self.publisher.db, &row, Some(until)).await {
            Ok(true) => {}
            Ok(false) => return false,
            Err(error) => {
                tracing::debug!(%vmid, %error, "a due server could not be claimed");
                return false;
            }
        }
        match self.finish(vmid, &row).await {
            Ok(None) => {
                let claimed = instance::Model { edge_due_at: Some(until), ..row };
                if let Err(error) = store::mark_due(&self.publisher.db, &claimed, None).await {
                    tracing::debug!(%vmid, %error, "{vmid}, which has nothing to publish, stays due");
                }
            }
            Ok(Some(record)) if !record.problems().is_empty() => {
                tracing::warn!(%vmid, state = %record.state(), "the edge of {vmid} has not converged: {}", record.problems());
            }
            Ok(_) => tracing::info!(%vmid, "the edge of {vmid} has converged"),
            Err(PublishError::Superseded { .. } | PublishError::Deleting { .. }) => {}
            Err(error) => tracing::error!(%vmid, %error, "reconciling the edge of {vmid} failed: {error}"),
        }
        true
    }

    async fn finish(&self, vmid: VmId, row: &instance::Model) -> Result<Option<EdgeRecord>, PublishError> {
        let record: Option<EdgeRecord> = payload::read(row, EDGE_KEY)?;
        match record.map(|record| record.intent) {
            Some(Intent::Unpublished) => self.publisher.finish_unpublish(vmid).await,
            Some(Intent::Published) | None => self.publisher.publish(vmid, TargetSelection::Due, None).await,
        }
    }
}
