//! Becoming the leader. The order is what makes it safe: read the epoch, take the lock, raise the epoch that was read,
//! see that the lock is still ours. A candidate that stalls anywhere in between finds the epoch raised by another.

use std::time::Duration;

use sea_orm::DbErr;
use tokio_util::sync::CancellationToken;

use crate::db;
use crate::kernel::CandidacyId;
use crate::kernel::boottime::since_boot;

use super::lead::Lease;
use super::lock::Lock;
use super::policy::{CandidateStep, LockAnswer, Standing, next_step};
use super::store;
use super::term::Term;

/// Tries until it leads. `None` when `stop` came first.
pub(super) async fn campaign(lease: &Lease, stop: &CancellationToken) -> Option<(Term, Lock)> {
    let lock = lease.lock(holder());
    let mut failing = false;
    loop {
        let attempt = tokio::select! {
            // Whether to stop is asked first: a quick attempt would otherwise elect one that has just resigned.
            biased;
            () = stop.cancelled() => break,
            attempt = attempt(lease, &lock) => attempt,
        };
        match attempt {
            Ok(Some(term)) => return Some((term, lock)),
            Ok(None) => failing = false,
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, lease = %lease.name(), "cannot stand for election; trying again");
                }
                failing = true;
                // The epoch may have been raised all the same; whoever reads it next goes on from there.
                give_back(&lock).await;
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(jittered(lease.settings().retry)) => {}
        }
    }
    // The reply to an attempt may have been lost, and the lock be ours.
    give_back(&lock).await;
    None
}

async fn attempt(lease: &Lease, lock: &Lock) -> Result<Option<Term>, DbErr> {
    let (name, pool, settings) = (lease.name(), lease.db(), lease.settings());
    let seen = db::in_time(store::find_or_insert(pool, name)).await?;
    let answer = match lock.take().await {
        Ok(true) => LockAnswer::Ours,
        Ok(false) => LockAnswer::Taken,
        Err(error) => {
            tracing::debug!(%error, lease = %name, "Redis did not say whether the lock is free");
            LockAnswer::Silence
        }
    };
    let old = match next_step(answer, seen.stamp, settings) {
        CandidateStep::RaiseEpoch => None,
        CandidateStep::TakeOver => Some(settings.takeover),
        CandidateStep::Wait => return Ok(None),
    };
    let sent = since_boot();
    let raising = store::raise_epoch(pool, name, seen.epoch, lock.holder(), old);
    let Some(epoch) = db::in_time(raising).await? else {
        give_back(lock).await;
        return Ok(None);
    };
    let mut standing = Standing::elected(sent);
    if old.is_none() {
        let sent = since_boot();
        match lock.renew().await {
            Ok(true) => standing.renewed(sent),
            // Raising the epoch took longer than the lock lives.
            Ok(false) => return Ok(None),
            Err(error) => tracing::debug!(%error, lease = %name, "Redis fell silent; leading by the stamp"),
        }
    }
    Ok(Some(Term::new(name, epoch, pool.clone(), *settings, standing)))
}

/// Gives the lock back if it is ours; otherwise it ends by itself.
pub(super) async fn give_back(lock: &Lock) {
    if let Err(error) = lock.release().await {
        tracing::debug!(%error, "could not give the lock back; it ends by itself");
    }
}

/// Machine, process and candidacy: for people the first two, for the lock the last.
fn holder() -> String {
    let system = rustix::system::uname();
    let machine: String = system.nodename().to_string_lossy().chars().take(64).collect();
    format!("{machine}:{}:{}", std::process::id(), CandidacyId::generate())
}

/// Up to a fifth longer, so that candidates do not try at one moment.
fn jittered(retry: Duration) -> Duration {
    retry.mul_f64(rand::random_range(1.0..=1.2))
}
