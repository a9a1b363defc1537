//! The life of a candidate: campaign, lead, lose or resign, and again.

use std::time::Duration;

use redis::aio::ConnectionManager;
use sea_orm::DatabaseConnection;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::db;
use crate::kernel::boottime::since_boot;
use crate::telemetry::{LeaseMetrics, Loss, Outcome};

use super::campaign::{campaign, give_back};
use super::lock::Lock;
use super::name::LeaseName;
use super::settings::LeaseSettings;
use super::store;
use super::term::{Term, TermError};

/// What a candidate needs.
#[derive(Clone)]
pub struct LeaseDeps {
    /// What to lead.
    pub name: LeaseName,
    /// Where the epoch is.
    pub db: DatabaseConnection,
    /// Where the lock is.
    pub redis: ConnectionManager,
    /// The times.
    pub settings: LeaseSettings,
    /// Where to count.
    pub metrics: LeaseMetrics,
}

/// A candidate for one lease.
pub struct Lease {
    deps: LeaseDeps,
}

/// How [`Lease::lead`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Ended {
    /// It was told to stop, and has resigned if it led.
    Stopped,
    /// Tasks of an ended term are still running. Only the end of the process ends them; until then a new term could
    /// meet them.
    Orphans {
        /// How many.
        tasks: usize,
    },
}

impl Lease {
    /// A candidate that does nothing yet.
    pub fn new(deps: LeaseDeps) -> Self {
        Self { deps }
    }

    /// Stands for election until `stop` fires, and while it leads calls `tick`, the next time `every` after it ended.
    /// A tick is a list of short transactions, each begun by [`Term::begin`], and ends early when [`Term::over`] fires.
    pub async fn lead<T, F>(&self, every: Duration, stop: &CancellationToken, mut tick: T) -> Ended
    where
        T: FnMut(Term) -> F,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let (name, metrics) = (self.name(), &self.deps.metrics);
        while let Some((term, lock)) = campaign(self, stop).await {
            metrics.began();
            tracing::info!(lease = %name, epoch = term.epoch(), holder = lock.holder(), "leading `{name}` in epoch {}", term.epoch());
            tokio::select! {
                () = renewing(&term, &lock, self.settings()) => {}
                () = self.ticking(&term, every, &mut tick) => {}
                () = stop.cancelled() => {}
            }
            let loss = term.loss();
            metrics.ceased(loss);
            match loss {
                Some(why) => {
                    tracing::warn!(lease = %name, epoch = term.epoch(), %why, "not the leader of `{name}` any more: {why}")
                }
                None => tracing::info!(lease = %name, epoch = term.epoch(), "resigning as leader of `{name}`"),
            }
            let tasks = term.end().await;
            if tasks > 0 {
                tracing::error!(lease = %name, epoch = term.epoch(), tasks, "{tasks} tasks of the term of `{name}` do not end");
                return Ended::Orphans { tasks };
            }
            // A tick may have found out about a newer leader while it ended; then there is nothing to resign from.
            if term.loss().is_none() {
                self.resign(&term, &lock).await;
            }
        }
        Ended::Stopped
    }

    async fn ticking<T, F>(&self, term: &Term, every: Duration, tick: &mut T)
    where
        T: FnMut(Term) -> F,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut failing = false;
        loop {
            let began = Instant::now();
            let outcome = match term.stamp().await {
                // A tick that panics has failed, and the next one is tried.
                Ok(()) => term.spawn(tick(term.clone())).await.unwrap_or(Outcome::Failed),
                Err(TermError::Over { .. }) => return,
                Err(error @ TermError::Database { .. }) => {
                    if !failing {
                        tracing::warn!(%error, lease = %self.name(), "no tick; trying again");
                    }
                    Outcome::Failed
                }
            };
            failing = outcome == Outcome::Failed;
            self.deps.metrics.ticked(outcome, began.elapsed());
            tokio::select! {
                () = term.over().cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
        }
    }

    /// Lets the next leader begin at once, whether Redis answers or not.
    async fn resign(&self, term: &Term, lock: &Lock) {
        if let Err(error) = db::in_time(store::resign(&self.deps.db, self.name(), term.epoch())).await {
            tracing::debug!(%error, "could not write that nobody leads");
        }
        give_back(lock).await;
    }

    pub(super) fn lock(&self, holder: String) -> Lock {
        let LeaseDeps { name, redis, settings, metrics, .. } = &self.deps;
        Lock::new(redis.clone(), *name, holder, *settings, metrics.clone())
    }

    pub(super) fn name(&self) -> LeaseName {
        self.deps.name
    }

    pub(super) fn db(&self) -> &DatabaseConnection {
        &self.deps.db
    }

    pub(super) fn settings(&self) -> &LeaseSettings {
        &self.deps.settings
    }
}

/// Renews the lock until the term ends. While Redis is silent it asks on, and the stamp decides.
async fn renewing(term: &Term, lock: &Lock, settings: &LeaseSettings) {
    let mut next = since_boot() + settings.renew;
    let mut silent = false;
    loop {
        let wake = next.min(term.valid_until());
        tokio::select! {
            () = term.over().cancelled() => return,
            () = tokio::time::sleep(wake.saturating_sub(since_boot())) => {}
        }
        if term.check().is_err() {
            return;
        }
        let sent = since_boot();
        if sent < next {
            continue;
        }
        match lock.renew().await {
            Ok(true) => {
                term.standing().renewed(sent);
                silent = false;
            }
            Ok(false) => {
                term.lose(Loss::Lock);
                return;
            }
            Err(error) => {
                term.standing().unanswered();
                if !silent {
                    tracing::warn!(%error, "the lock could not be renewed; leading by the stamp in the database");
                }
                silent = true;
            }
        }
        next = sent + settings.renew;
    }
}
