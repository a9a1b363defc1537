//! The context of a running job: its operation, its fence, and the signals to stop.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sea_orm::{DatabaseConnection, DbErr};
use tokio_util::sync::CancellationToken;

use crate::db::entities::operation;
use crate::db::{self, AsDbErr};
use crate::jobs::failpoint::Failpoints;
use crate::jobs::rows::owner::{LeaseLost, OwnedTransaction, OwnerError, set_committed, set_server};
use crate::kernel::{Backoff, Failure, OperationId, VmId};

use super::inflight::InFlight;

/// The backoff while the database is unavailable; the lease bounds the attempts.
const DATABASE_BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

/// One run of one operation.
#[derive(Clone)]
pub struct JobContext {
    /// The row at the time of the claim.
    pub operation: operation::Model,
    /// The database.
    pub db: DatabaseConnection,
    /// Fires when the lease is lost: stop immediately and write nothing.
    pub lost: CancellationToken,
    /// Fires on a request to cancel: stop between two steps and undo.
    pub cancelled: CancellationToken,
    /// Fires when the deadline of the kind has passed: stop between two steps, end as failed, and undo. An undo ends as
    /// incomplete.
    pub overdue: CancellationToken,
    /// Fires when the worker stops: hand back.
    pub draining: CancellationToken,
    /// Fires when the result belongs to the customer: nothing undoes the operation any more.
    pub committed: CancellationToken,
    /// Places where tests kill, stop or hold the process.
    pub failpoints: Failpoints,
    pub(super) server: Arc<Mutex<Option<VmId>>>,
    pub(super) inflight: InFlight,
    pub(super) self_fence: Duration,
}

impl JobContext {
    /// The operation.
    pub const fn id(&self) -> OperationId {
        self.operation.id
    }

    /// The fence of this owner.
    pub const fn fence(&self) -> i64 {
        self.operation.fence
    }

    /// The VMID of its server, once it is known.
    pub fn vmid(&self) -> Option<VmId> {
        *self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records its server.
    pub async fn set_server(&self, tx: &OwnedTransaction, vmid: VmId) -> Result<(), DbErr> {
        set_server(&**tx, self.id(), vmid).await?;
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(vmid);
        Ok(())
    }

    /// Records that the result belongs to the customer. The caller fires [`committed`](Self::committed) once `tx` is
    /// committed.
    pub async fn set_committed(&self, tx: &OwnedTransaction) -> Result<(), DbErr> {
        set_committed(&**tx, self.id()).await
    }

    /// Whether no other worker can own the operation yet, by the clock of this machine. Check this between a wait for
    /// the database and an external effect: a late answer of the database proves nothing.
    pub fn is_held(&self) -> bool {
        self.inflight.is_held(self.id(), self.self_fence)
    }

    /// Retries `work` on transient errors of the database, for as long as the lease is valid. Other errors are returned
    /// immediately. A call that hangs is dropped when the lease is lost.
    pub async fn persist<T, E, F>(&self, what: &str, work: impl Fn() -> F) -> Result<T, E>
    where
        E: AsDbErr + From<LeaseLost> + std::fmt::Display,
        F: Future<Output = Result<T, E>>,
    {
        let id = self.id();
        for attempt in 0.. {
            let done = tokio::select! {
                biased;
                () = self.lost.cancelled() => break,
                done = work() => done,
            };
            match done {
                Err(error) if error.as_db_err().is_some_and(|error| db::failure(error) == Failure::Transient) => {
                    if attempt == 0 {
                        tracing::warn!(operation.id = %id, %error, "`{what}` of {id} waits for the database");
                    }
                }
                settled => {
                    if attempt > 0 {
                        tracing::info!(operation.id = %id, attempt, "`{what}` of {id}: the database works again");
                    }
                    return settled;
                }
            }
            tokio::select! {
                () = self.lost.cancelled() => break,
                () = tokio::time::sleep(DATABASE_BACKOFF.jittered(attempt)) => {}
            }
        }
        Err(LeaseLost.into())
    }

    /// Reads with `work`, with the retries of [`persist`](Self::persist).
    pub async fn read<T, F>(&self, what: &str, work: impl Fn() -> F) -> Result<T, OwnerError>
    where
        F: Future<Output = Result<T, DbErr>>,
    {
        self.persist(what, || async { Ok(work().await?) }).await
    }

    /// Writes with `work`, which [`begin`](Self::begin)s and commits a transaction, with the retries of
    /// [`persist`](Self::persist).
    pub async fn write<T, F>(&self, what: &str, work: impl Fn() -> F) -> Result<T, OwnerError>
    where
        F: Future<Output = Result<T, OwnerError>>,
    {
        self.persist(what, work).await
    }

    /// Begins a transaction of this owner.
    pub async fn begin(&self) -> Result<OwnedTransaction, OwnerError> {
        OwnedTransaction::begin(&self.db, self.id(), self.fence()).await
    }
}
