//! What a running job knows: its operation, its fence, and the three reasons to stop.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sea_orm::{DatabaseConnection, DbErr};
use tokio_util::sync::CancellationToken;

use crate::db::entities::operation;
use crate::db::{self, AsDbErr};
use crate::jobs::failpoint::Failpoints;
use crate::jobs::rows::owner::{Lost, OwnedTransaction, OwnerError, set_server};
use crate::kernel::{Backoff, Failure, OperationId, VmId};

use super::inflight::InFlight;

/// The waits while the database does not answer; the lease bounds them.
const TROUBLE: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

/// One run of one operation.
#[derive(Clone)]
pub struct JobContext {
    /// The row as it was when it was claimed.
    pub operation: operation::Model,
    /// The database.
    pub db: DatabaseConnection,
    /// Fires when the lease is lost: stop at once, write nothing.
    pub lost: CancellationToken,
    /// Fires when the user asked to stop: stop between two steps and undo.
    pub cancelled: CancellationToken,
    /// Fires when the deadline of the kind has passed: stop between two steps, as failed, and undo. An undo of its own
    /// stops as incomplete.
    pub overdue: CancellationToken,
    /// Fires when the worker stops: hand back between two steps.
    pub draining: CancellationToken,
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

    /// The server it is about, once that is decided.
    pub fn vmid(&self) -> Option<VmId> {
        *self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides which server it is about.
    pub async fn set_server(&self, tx: &OwnedTransaction, vmid: VmId) -> Result<(), DbErr> {
        set_server(&**tx, self.id(), vmid).await?;
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(vmid);
        Ok(())
    }

    /// Whether others cannot own the operation yet, by the clock of this machine. To be asked between a wait for the
    /// database and an effect: an answer that comes late proves nothing any more.
    pub fn is_held(&self) -> bool {
        self.inflight.is_held(self.id(), self.self_fence)
    }

    /// Repeats `work` while the database fails in a way that passes, for as long as the lease is valid. Other errors are returned
    /// at once. A database that does not answer at all is not waited for beyond the lease.
    pub async fn persist<T, E, F>(&self, what: &str, work: impl Fn() -> F) -> Result<T, E>
    where
        E: AsDbErr + From<Lost> + std::fmt::Display,
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
                        tracing::info!(operation.id = %id, attempt, "`{what}` of {id} waits no longer");
                    }
                    return settled;
                }
            }
            tokio::select! {
                () = self.lost.cancelled() => break,
                () = tokio::time::sleep(TROUBLE.jittered(attempt)) => {}
            }
        }
        Err(Lost.into())
    }

    /// Reads with `work`, and waits for the database as [`persist`](Self::persist) does.
    pub async fn read<T, F>(&self, what: &str, work: impl Fn() -> F) -> Result<T, OwnerError>
    where
        F: Future<Output = Result<T, DbErr>>,
    {
        self.persist(what, || async { Ok(work().await?) }).await
    }

    /// Writes with `work`, which [`begin`](Self::begin)s and commits a transaction, and waits for the database as
    /// [`persist`](Self::persist) does.
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
