//! Looks after publications that are not finished: targets that failed are tried again when their time has come, work that
//! nobody finished is taken up, and a proxy that was restarted is told again.
//!
//! A due server is claimed by moving its due time, so that several processes share the work. Its own clock decides what
//! is due, which costs nothing but punctuality.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use tokio_util::sync::CancellationToken;

use super::publisher::{ABANDONED, PublishError, Publisher, Scope};
use crate::db::entities::instance::{self, Lifecycle};
use crate::edge::{EDGE_KEY, EdgeRecord, Intent};
use crate::kernel::VmId;
use crate::servers::payload;
use crate::telemetry::Outage;

/// How many servers are taken up in one pass.
const BATCH: u64 = 64;
/// How many of them at a time.
const AT_A_TIME: usize = 8;

/// Finishes publications.
pub struct Keeper {
    /// How it is done.
    pub publisher: Publisher,
    /// How often it looks for what is due.
    pub interval: Duration,
}

impl Keeper {
    /// Works until `stop` fires.
    pub async fn run(self, stop: CancellationToken) {
        let outage = Outage::of("looking after the edge");
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                passed = self.pass() => match passed {
                    Ok(_) => outage.works(),
                    Err(error) => outage.failed(error),
                },
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.interval) => {}
            }
        }
    }

    /// Takes up what is due now; returns how many servers that were.
    pub async fn pass(&self) -> Result<usize, DbErr> {
        let now = self.publisher.clock.now();
        let due: Vec<instance::Model> = instance::Entity::find()
            .filter(instance::Column::EdgeDueAt.lte(now))
            .filter(instance::Column::Lifecycle.eq(Lifecycle::Active))
            .order_by_asc(instance::Column::EdgeDueAt)
            .limit(BATCH)
            .all(&self.publisher.db)
            .await?;
        let taken = stream::iter(due).map(|row| self.take_up(row)).buffer_unordered(AT_A_TIME);
        Ok(taken.filter(|taken| std::future::ready(*taken)).count().await)
    }

    /// Claims one server and works on it; false when another process was faster.
    async fn take_up(&self, row: instance::Model) -> bool {
        let vmid = row.vmid;
        match self.claim(&row).await {
            Ok(true) => {}
            Ok(false) => return false,
            Err(error) => {
                tracing::debug!(%vmid, %error, "a due server could not be claimed");
                return false;
            }
        }
        match self.settle(vmid, &row).await {
            Ok(Some(record)) if !record.troubles().is_empty() => {
                tracing::warn!(%vmid, state = %record.state(), "the edge of {vmid}: {}", record.troubles());
            }
            Ok(_) => tracing::info!(%vmid, "the edge of {vmid} is as it should be"),
            Err(PublishError::Overtaken { .. } | PublishError::Deleting { .. }) => {}
            Err(error) => tracing::error!(%vmid, %error, "the edge of {vmid} cannot be looked after: {error}"),
        }
        true
    }

    async fn claim(&self, row: &instance::Model) -> Result<bool, DbErr> {
        let until = self.publisher.clock.now().after(ABANDONED);
        let claimed = instance::Entity::update_many()
            .col_expr(instance::Column::EdgeDueAt, Expr::value(until))
            .filter(instance::Column::Id.eq(row.id))
            .filter(instance::Column::EdgeDueAt.eq(row.edge_due_at))
            .exec(&self.publisher.db)
            .await?;
        Ok(claimed.rows_affected == 1)
    }

    async fn settle(&self, vmid: VmId, row: &instance::Model) -> Result<Option<EdgeRecord>, PublishError> {
        let record: Option<EdgeRecord> = payload::read(row, EDGE_KEY)?;
        match record.map(|record| record.intent) {
            Some(Intent::Withdrawn) => self.publisher.finish_withdrawal(vmid).await,
            Some(Intent::Published) | None => self.publisher.publish(vmid, Scope::Due, None).await,
        }
    }
}
