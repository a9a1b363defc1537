//! The election of a leader. It is safe because of the order of its steps: read the epoch, take the lock, raise the
//! epoch by a compare-and-set on the value that was read, renew the lock. A candidate that stalls between two steps
//! finds that another one has raised the epoch.

use std::time::Duration;

use sea_orm::DbErr;
use tokio_util::sync::CancellationToken;

use crate::db;
use crate::kernel::CandidacyId;
use crate::kernel::boottime::since_boot;

use super::lead::Lease;
use super::lock::Lock;
use super::policy::{CandidateStep, LockAnswer, Validity, next_step};
use super::store;
use super::term::Term;

/// Tries until it is elected. `None` if `stop` fired first.
pub(super) async fn campaign(lease: &Lease, stop: &CancellationToken) -> Option<(Term, Lock)> {
    let lock = lease.lock(holder());
    let mut failing = false;
    loop {
        let attempt = tokio::select! {
            // `stop` is checked first: otherwise a quick attempt could elect a candidate that has just resigned.
            biased;
            () = stop.cancelled() => break,
            attempt = attempt(lease, &lock) => attempt,
        };
        match attempt {
            Ok(Some(term)) => return Some((term, lock)),
            Ok(None) => failing = false,
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, lease = %lease.name(), "the election attempt failed; trying again");
                }
                failing = true;
                // The epoch may have been raised nevertheless. That is harmless: the next attempt reads it again.
                release(&lock).await;
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(jittered(lease.settings().retry)) => {}
        }
    }
    // The reply to an attempt may have been lost, so the lock may be ours.
    release(&lock).await;
    None
}

async fn attempt(lease: &Lease, lock: &Lock) -> Result<Option<Term>, DbErr> {
    let (name, pool, settings) = (lease.name(), lease.db(), lease.settings());
    let seen = db::in_time(store::find_or_insert(pool, name)).await?;
    let answer = match lock.take().await {
        Ok(true) => LockAnswer::Ours,
        Ok(false) => LockAnswer::Taken,
        Err(error) => {
            tracing::debug!(%error, lease = %name, "the lock could not be taken: no answer from Redis");
            LockAnswer::NoAnswer
        }
    };
    let older_than = match next_step(answer, seen.heartbeat_age, settings) {
        CandidateStep::RaiseEpoch => None,
        CandidateStep::TakeOver => Some(settings.takeover),
        CandidateStep::Wait => return Ok(None),
    };
    let sent = since_boot();
    let raising = store::raise_epoch(pool, name, seen.epoch, lock.holder(), older_than);
    let Some(epoch) = db::in_time(raising).await? else {
        release(lock).await;
        return Ok(None);
    };
    let mut validity = Validity::elected(sent);
    if older_than.is_none() {
        let sent = since_boot();
        match lock.renew().await {
            Ok(true) => validity.renewed(sent),
            // The lock expired while the epoch was being raised.
            Ok(false) => return Ok(None),
            Err(error) => {
                tracing::debug!(%error, lease = %name, "Redis stopped answering; leading by the heartbeat in the database")
            }
        }
    }
    Ok(Some(Term::new(name, epoch, pool.clone(), *settings, validity)))
}

/// Releases the lock if it is ours. If that fails, the lock expires.
pub(super) async fn release(lock: &Lock) {
    if let Err(error) = lock.release().await {
        tracing::debug!(%error, "the lock could not be released; it will expire");
    }
}

/// Machine, process id and candidacy: the first two for operators, the last one makes it unique.
fn holder() -> String {
    let system = rustix::system::uname();
    let machine: String = system.nodename().to_string_lossy().chars().take(64).collect();
    format!("{machine}:{}:{}", std::process::id(), CandidacyId::generate())
}

/// Up to a fifth longer, so that candidates do not try at the same time.
fn jittered(retry: Duration) -> Duration {
    retry.mul_f64(rand::random_range(1.0..=1.2))
}
