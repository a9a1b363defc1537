//! A term: the right to act as the leader, from an election to its end.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use sea_orm::{DatabaseConnection, DatabaseTransaction, DbErr};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::db;
use crate::kernel::boottime::since_boot;
use crate::kernel::{Classify, Failure};
use crate::telemetry::Loss;

use super::name::LeaseName;
use super::policy::Validity;
use super::settings::LeaseSettings;
use super::store;

/// Why a leader's transaction could not begin.
#[derive(Debug, thiserror::Error)]
pub enum TermError {
    /// The term is over; nothing may be written in it any more.
    #[error("the term of epoch {epoch} is over")]
    Over {
        /// The epoch of the term.
        epoch: i64,
    },
    /// The database failed; the term continues.
    #[error("a transaction of epoch {epoch} could not begin")]
    Database {
        /// The epoch of the term.
        epoch: i64,
        /// The error of the database.
        source: DbErr,
    },
}

impl Classify for TermError {
    fn failure(&self) -> Failure {
        match self {
            Self::Over { .. } => Failure::Permanent,
            Self::Database { source, .. } => db::failure(source),
        }
    }
}

/// One term of a leader. Cheap to clone.
#[derive(Clone)]
pub struct Term {
    inner: Arc<Inner>,
}

struct Inner {
    name: LeaseName,
    epoch: i64,
    db: DatabaseConnection,
    settings: LeaseSettings,
    validity: Mutex<Validity>,
    over: CancellationToken,
    loss: OnceLock<Loss>,
    tasks: TaskTracker,
}

impl Term {
    pub(super) fn new(
        name: LeaseName,
        epoch: i64,
        db: DatabaseConnection,
        settings: LeaseSettings,
        validity: Validity,
    ) -> Self {
        let (over, loss, tasks) = (CancellationToken::new(), OnceLock::new(), TaskTracker::new());
        let validity = Mutex::new(validity);
        Self { inner: Arc::new(Inner { name, epoch, db, settings, validity, over, loss, tasks }) }
    }

    /// The number of this term; later terms have larger numbers.
    pub fn epoch(&self) -> i64 {
        self.inner.epoch
    }

    /// Fires when the term ends. Then nothing new may begin, and tasks have to end soon.
    pub fn over(&self) -> &CancellationToken {
        &self.inner.over
    }

    /// Begins a transaction that is fenced by this term: no newer leader is elected before it ends. It must be short,
    /// for the same reason.
    pub async fn begin(&self) -> Result<DatabaseTransaction, TermError> {
        let inner = &*self.inner;
        self.check()?;
        if self.validity().wants_heartbeat(since_boot(), &inner.settings) {
            self.heartbeat().await?;
        }
        let holding = async {
            let tx = db::begin(&inner.db).await?;
            let epoch = store::hold_epoch(&tx, inner.name).await?;
            Ok::<_, DbErr>((tx, epoch))
        };
        match db::in_time(holding).await {
            Ok((tx, Some(epoch))) if epoch == inner.epoch => Ok(tx),
            Ok(_) => Err(self.lose(Loss::Epoch)),
            Err(source) => Err(self.database(source)),
        }
    }

    /// Starts a task that belongs to the term. It has to end soon after [`Term::over`] fires.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.inner.tasks.spawn(task)
    }

    /// Fails if the term is over or no longer valid.
    pub(super) fn check(&self) -> Result<(), TermError> {
        if self.inner.over.is_cancelled() {
            return Err(TermError::Over { epoch: self.inner.epoch });
        }
        let valid = self.validity().is_valid(since_boot(), &self.inner.settings);
        if valid { Ok(()) } else { Err(self.lose(Loss::Expired)) }
    }

    /// Writes the heartbeat of this leader to the database.
    pub(super) async fn heartbeat(&self) -> Result<(), TermError> {
        let inner = &*self.inner;
        let sent = since_boot();
        match db::in_time(store::heartbeat(&inner.db, inner.name, inner.epoch)).await {
            Ok(true) => {
                self.validity().heartbeat_written(sent);
                Ok(())
            }
            Ok(false) => Err(self.lose(Loss::Epoch)),
            Err(source) => Err(self.database(source)),
        }
    }

    /// Ends the term because the lease was lost.
    pub(super) fn lose(&self, why: Loss) -> TermError {
        // The first reason is the one that counts.
        let _ = self.inner.loss.set(why);
        self.inner.over.cancel();
        TermError::Over { epoch: self.inner.epoch }
    }

    /// Why the lease was lost, if it was.
    pub(super) fn loss(&self) -> Option<Loss> {
        self.inner.loss.get().copied()
    }

    pub(super) fn validity(&self) -> MutexGuard<'_, Validity> {
        self.inner.validity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time until which the leader may act, as far as is known now.
    pub(super) fn valid_until(&self) -> Duration {
        self.validity().valid_until(&self.inner.settings)
    }

    /// Ends the term and waits for its tasks. Returns the number of tasks that did not end in time.
    pub(super) async fn end(&self) -> usize {
        let Inner { over, tasks, settings, .. } = &*self.inner;
        over.cancel();
        tasks.close();
        match tokio::time::timeout(settings.join, tasks.wait()).await {
            Ok(()) => 0,
            Err(_) => tasks.len(),
        }
    }

    fn database(&self, source: DbErr) -> TermError {
        TermError::Database { epoch: self.inner.epoch, source }
    }
}
