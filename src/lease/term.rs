//! The right to act as leader, from an election to its end.

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
use super::policy::Standing;
use super::settings::LeaseSettings;
use super::store;

/// A leader's transaction did not begin.
#[derive(Debug, thiserror::Error)]
pub enum TermError {
    /// The term is over; nothing more may be done in it.
    #[error("the term of epoch {epoch} is over")]
    Over {
        /// Its epoch.
        epoch: i64,
    },
    /// The database failed; the term goes on.
    #[error("the database did not begin a transaction of epoch {epoch}")]
    Database {
        /// The epoch of the term.
        epoch: i64,
        /// What it said.
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
    standing: Mutex<Standing>,
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
        standing: Standing,
    ) -> Self {
        let (over, loss, tasks) = (CancellationToken::new(), OnceLock::new(), TaskTracker::new());
        let standing = Mutex::new(standing);
        Self { inner: Arc::new(Inner { name, epoch, db, settings, standing, over, loss, tasks }) }
    }

    /// The number of this term; every later one has a larger number.
    pub fn epoch(&self) -> i64 {
        self.inner.epoch
    }

    /// Fires when the term ends. Nothing new may be begun then, and tasks have to end soon.
    pub fn over(&self) -> &CancellationToken {
        &self.inner.over
    }

    /// Begins a transaction that commits only as this term's: no newer leader is elected before it ends. To be kept
    /// short, for the same reason.
    pub async fn begin(&self) -> Result<DatabaseTransaction, TermError> {
        let inner = &*self.inner;
        self.check()?;
        if self.standing().wants_stamp(since_boot(), &inner.settings) {
            self.stamp().await?;
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

    /// Fails when the term is over, or may no longer be acted upon.
    pub(super) fn check(&self) -> Result<(), TermError> {
        if self.inner.over.is_cancelled() {
            return Err(TermError::Over { epoch: self.inner.epoch });
        }
        let valid = self.standing().is_valid(since_boot(), &self.inner.settings);
        if valid { Ok(()) } else { Err(self.lose(Loss::Expired)) }
    }

    /// Writes to the database that this leader lives.
    pub(super) async fn stamp(&self) -> Result<(), TermError> {
        let inner = &*self.inner;
        let sent = since_boot();
        match db::in_time(store::stamp(&inner.db, inner.name, inner.epoch)).await {
            Ok(true) => {
                self.standing().stamped(sent);
                Ok(())
            }
            Ok(false) => Err(self.lose(Loss::Epoch)),
            Err(source) => Err(self.database(source)),
        }
    }

    /// Ends the term against the leader's will.
    pub(super) fn lose(&self, why: Loss) -> TermError {
        // The first reason is the one that counts.
        let _ = self.inner.loss.set(why);
        self.inner.over.cancel();
        TermError::Over { epoch: self.inner.epoch }
    }

    /// Why the term ended against the leader's will.
    pub(super) fn loss(&self) -> Option<Loss> {
        self.inner.loss.get().copied()
    }

    pub(super) fn standing(&self) -> MutexGuard<'_, Standing> {
        self.inner.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until when the leader may act, as far as is known now.
    pub(super) fn valid_until(&self) -> Duration {
        self.standing().valid_until(&self.inner.settings)
    }

    /// Ends the term and waits for its tasks. Returns how many did not end in time.
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
