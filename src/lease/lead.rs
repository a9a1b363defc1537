//! The loop of a candidate: campaign, lead, lose the lease or resign, and again.

use std::time::Duration;

use sea_orm::DatabaseConnection;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::db::{self, RedisPool};
use crate::kernel::boottime::since_boot;
use crate::telemetry::{LeaseMetrics, Loss, Outcome};

use super::campaign::{campaign, release};
use super::lock::Lock;
use super::name::LeaseName;
use super::settings::LeaseSettings;
use super::store;
use super::term::{Term, TermError};

/// The dependencies of a candidate.
#[derive(Clone)]
pub struct LeaseDeps {
    /// The lease to compete for.
    pub name: LeaseName,
    /// The database, which holds the epoch.
    pub db: DatabaseConnection,
    /// Redis, which holds the lock.
    pub redis: RedisPool,
    /// Timeouts and intervals.
    pub settings: LeaseSettings,
    /// The metrics of the lease.
    pub metrics: LeaseMetrics,
}

/// A candidate for one lease.
pub struct Lease {
    deps: LeaseDeps,
}

/// How [`Lease::lead`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum CandidacyEnd {
    /// It was stopped, and has resigned if it was the leader.
    Stopped,
    /// Tasks of an ended term are still running, and would run beside those of a new term. Only the end of the process
    /// ends them.
    OrphanedTasks {
        /// The number of tasks.
        tasks: usize,
    },
}

impl Lease {
    /// Creates a candidate; it does nothing before [`Self::lead`].
    pub fn new(deps: LeaseDeps) -> Self {
        Self { deps }
    }

    /// Competes for the lease until `stop` fires. As the leader it calls `tick` repeatedly, waiting `every` after each
    /// call. A tick is a series of short transactions, each begun by [`Term::begin`], and ends early when
    /// [`Term::over`] fires.
    pub async fn lead<T, F>(&self, every: Duration, stop: &CancellationToken, mut tick: T) -> CandidacyEnd
    where
        T: FnMut(Term) -> F,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let (name, metrics) = (self.name(), &self.deps.metrics);
        while let Some((term, lock)) = campaign(self, stop).await {
            metrics.began();
            tracing::info!(lease = %name, epoch = term.epoch(), holder = lock.holder(), "leader of `{name}` in epoch {}", term.epoch());
            tokio::select! {
                () = renewing(&term, &lock, self.settings()) => {}
                () = self.ticking(&term, every, &mut tick) => {}
                () = stop.cancelled() => {}
            }
            let loss = term.loss();
            metrics.ceased(loss);
            match loss {
                Some(why) => {
                    tracing::warn!(lease = %name, epoch = term.epoch(), %why, "lost the lease `{name}`: {why}")
                }
                None => tracing::info!(lease = %name, epoch = term.epoch(), "resigning as leader of `{name}`"),
            }
            let tasks = term.end().await;
            if tasks > 0 {
                tracing::error!(lease = %name, epoch = term.epoch(), tasks, "{tasks} tasks of the term of `{name}` did not end");
                return CandidacyEnd::OrphanedTasks { tasks };
            }
            // A tick may have noticed a newer leader while it ended; then there is nothing to resign from.
            if term.loss().is_none() {
                self.resign(&term, &lock).await;
            }
        }
        CandidacyEnd::Stopped
    }

    async fn ticking<T, F>(&self, term: &Term, every: Duration, tick: &mut T)
    where
        T: FnMut(Term) -> F,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut failing = false;
        loop {
            let began = Instant::now();
            let outcome = match term.heartbeat().await {
                // A tick that panics counts as failed; the loop continues.
                Ok(()) => term.spawn(tick(term.clone())).await.unwrap_or(Outcome::Failed),
                Err(TermError::Over { .. }) => return,
                Err(error @ TermError::Database { .. }) => {
                    if !failing {
                        tracing::warn!(%error, lease = %self.name(), "the heartbeat could not be written, skipping a tick; trying again");
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

    /// Lets the next leader begin immediately, whether Redis answers or not.
    async fn resign(&self, term: &Term, lock: &Lock) {
        if let Err(error) = db::in_time(store::resign(&self.deps.db, self.name(), term.epoch())).await {
            tracing::debug!(%error, "the resignation could not be written to the database");
        }
        release(lock).await;
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

/// Renews the lock until the term ends. While Redis does not answer, it keeps trying, and the age of the heartbeat
/// decides whether the term is valid.
async fn renewing(term: &Term, lock: &Lock, settings: &LeaseSettings) {
    let mut next = since_boot() + settings.renew;
    let mut failing = false;
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
                term.validity().renewed(sent);
                failing = false;
            }
            Ok(false) => {
                term.lose(Loss::Lock);
                return;
            }
            Err(error) => {
                term.validity().unanswered();
                if !failing {
                    tracing::warn!(%error, "the lock could not be renewed; leading by the heartbeat in the database");
                }
                failing = true;
            }
        }
        next = sent + settings.renew;
    }
}
