//! Renews leases from a dedicated thread with its own database connection, which no job can starve
//! (docs/contracts/jobs.md 0.8).

use std::sync::Arc;
use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter, QuerySelect};
use tokio_util::sync::CancellationToken;

use crate::db;
use crate::db::entities::operation;
use crate::jobs::rows::owner::{self, OwnerError};
use crate::jobs::settings::JobSettings;
use crate::kernel::OperationId;
use crate::kernel::boottime::since_boot;
use crate::telemetry::{FencedWrite, JobMetrics, Outage, Renewal};

use super::inflight::{InFlight, OwnedOperation};

/// The minimum timeout of a round of renewals; then the connection is replaced.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(3);

/// Opens the connection of the renewer inside its own runtime.
pub type Connect =
    Arc<dyn Fn() -> futures_util::future::BoxFuture<'static, Result<DatabaseConnection, DbErr>> + Send + Sync>;

/// Starts the thread. It ends when `stop` fires.
pub(super) fn spawn(
    connect: Connect,
    inflight: InFlight,
    settings: JobSettings,
    metrics: JobMetrics,
    stop: CancellationToken,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new()
        .name("lease-renewer".to_owned())
        .spawn(move || runtime.block_on(renew_until(&connect, &inflight, &settings, &metrics, &stop)))
}

async fn renew_until(
    connect: &Connect,
    inflight: &InFlight,
    settings: &JobSettings,
    metrics: &JobMetrics,
    stop: &CancellationToken,
) {
    let mut connection = None;
    let outage = Outage::of("the renewal of leases");
    let check = settings.renew.min(Duration::from_secs(1));
    let overdue = || metrics.overdue(inflight.fence_overdue(settings.self_fence()));
    let mut next = since_boot();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(check) => {}
        }
        overdue();
        if since_boot() < next {
            continue;
        }
        let limit = settings.renew.max(RENEWAL_TIMEOUT);
        let renewing = tokio::time::timeout(limit, renew_all(connect, &mut connection, inflight, settings, metrics));
        match while_checking(renewing, check, overdue).await {
            Ok(Ok(())) => {
                outage.works();
                next = since_boot() + settings.renew;
                continue;
            }
            // Retried at the next check, long before the lease expires.
            Ok(Err(error)) => outage.failed(error),
            Err(late) => {
                // The connection may be dead without an error; a new one may work.
                connection = None;
                outage.failed(late);
            }
        }
        metrics.renewal(Renewal::Failed);
    }
}

/// Awaits `work` and calls `overdue` every `check` meanwhile: leases expire whether or not the database answers.
async fn while_checking<T>(work: impl Future<Output = T>, check: Duration, overdue: impl Fn()) -> T {
    tokio::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = tokio::time::sleep(check) => overdue(),
        }
    }
}

async fn renew_all(
    connect: &Connect,
    connection: &mut Option<DatabaseConnection>,
    inflight: &InFlight,
    settings: &JobSettings,
    metrics: &JobMetrics,
) -> Result<(), DbErr> {
    let owned = inflight.owned();
    if owned.is_empty() {
        return Ok(());
    }
    let db = match connection {
        Some(db) => db,
        None => connection.insert(connect().await?),
    };
    for (id, owned) in owned {
        renew(db, inflight, id, &owned, settings, metrics).await?;
    }
    Ok(())
}

async fn renew(
    db: &DatabaseConnection,
    inflight: &InFlight,
    id: OperationId,
    owned: &OwnedOperation,
    settings: &JobSettings,
    metrics: &JobMetrics,
) -> Result<(), DbErr> {
    let sent = since_boot();
    let renewed = owner::renew(db, id, owned.fence, settings.lease).await;
    if OwnerError::none_if_lost(renewed)?.is_none() {
        // An operation that was released during the renewal has no owner, so this is not a lost lease.
        if inflight.is_owned(id) {
            metrics.renewal(Renewal::Lost);
            metrics.refused(FencedWrite::Renewal);
        }
        owned.lost.cancel();
        return Ok(());
    }
    let late = sent.saturating_sub(owned.renewed) > settings.renew * 2;
    metrics.renewal(if late { Renewal::Late } else { Renewal::Renewed });
    inflight.renewed(id, sent);
    let at_work = db::now_expr(db).sub(Expr::col(operation::Column::ClaimedAt));
    let seen: Option<(bool, Option<i64>)> = operation::Entity::find()
        .select_only()
        .column(operation::Column::CancelRequested)
        .column_as(at_work, "at_work")
        .filter(operation::Column::Id.eq(id))
        .into_tuple()
        .one(db)
        .await?;
    let Some((cancel_requested, at_work)) = seen else { return Ok(()) };
    if cancel_requested {
        owned.cancelled.cancel();
    }
    let late = at_work.is_some_and(|at_work| at_work > db::millis(owned.stop_after));
    if late && !owned.overdue.is_cancelled() && inflight.is_owned(id) {
        metrics.deadline_exceeded();
        tracing::warn!(operation.id = %id, "the deadline of {id} has passed; asking its job to stop");
        owned.overdue.cancel();
    }
    Ok(())
}
