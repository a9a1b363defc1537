//! The lock in Redis: short commands on a shared connection, each with a timeout, so that an outage is noticed in time.

use std::time::Duration;

use redis::{RedisError, Script};
use tokio::time::Instant;

use crate::db::RedisPool;
use crate::telemetry::{LeaseMetrics, Outcome};

use super::name::LeaseName;
use super::settings::LeaseSettings;

/// The lock, for one candidacy.
#[derive(Clone)]
pub(super) struct Lock {
    connection: RedisPool,
    key: &'static str,
    holder: String,
    settings: LeaseSettings,
    metrics: LeaseMetrics,
}

impl Lock {
    pub(super) fn new(
        connection: RedisPool,
        name: LeaseName,
        holder: String,
        settings: LeaseSettings,
        metrics: LeaseMetrics,
    ) -> Self {
        Self { connection, key: name.lock_key(), holder, settings, metrics }
    }

    pub(super) fn holder(&self) -> &str {
        &self.holder
    }

    /// Takes the lock if it is free. Also returns true if the lock is already ours, because the reply to an earlier
    /// attempt was lost.
    pub(super) async fn take(&self) -> Result<bool, RedisError> {
        let mut command = redis::cmd("SET");
        command.arg(self.key).arg(&self.holder).arg("NX").arg("PX").arg(self.ttl_millis());
        let mut connection = self.connection.clone();
        let set: Option<String> = self.ask(command.query_async(&mut connection)).await?;
        if set.is_some() { Ok(true) } else { self.renew().await }
    }

    /// Renews the lock if it is ours, and returns whether it is.
    pub(super) async fn renew(&self) -> Result<bool, RedisError> {
        let script = Script::new(include_str!("scripts/renew.lua"));
        let mut call = script.prepare_invoke();
        call.key(self.key).arg(&self.holder).arg(self.ttl_millis());
        self.ask(call.invoke_async(&mut self.connection.clone())).await
    }

    /// Releases the lock if it is ours.
    pub(super) async fn release(&self) -> Result<bool, RedisError> {
        let script = Script::new(include_str!("scripts/release.lua"));
        let mut call = script.prepare_invoke();
        call.key(self.key).arg(&self.holder);
        self.ask(call.invoke_async(&mut self.connection.clone())).await
    }

    fn ttl_millis(&self) -> u64 {
        u64::try_from(self.settings.ttl.as_millis()).unwrap_or(u64::MAX)
    }

    async fn ask<T>(&self, command: impl Future<Output = Result<T, RedisError>>) -> Result<T, RedisError> {
        let asked = Instant::now();
        let answer = match tokio::time::timeout(self.settings.command_timeout(), command).await {
            Ok(answer) => answer,
            Err(_) => {
                Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "a command about the lock timed out").into())
            }
        };
        let outcome = if answer.is_ok() { Outcome::Succeeded } else { Outcome::Failed };
        self.metrics.asked(outcome, asked.elapsed());
        answer
    }
}

/// The value under the key of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockView {
    /// The candidacy that holds it.
    pub holder: String,
    /// When it expires without renewal; `None` for never, which no leader of ours sets.
    pub expires_in: Option<Duration>,
}

/// Reads the lock of `name`. `None` if it is free.
pub async fn observe_lock(connection: &RedisPool, name: LeaseName) -> Result<Option<LockView>, RedisError> {
    let mut pipe = redis::pipe();
    pipe.get(name.lock_key()).pttl(name.lock_key());
    let (holder, millis): (Option<String>, i64) = pipe.query_async(&mut connection.clone()).await?;
    let expires_in = u64::try_from(millis).ok().map(Duration::from_millis);
    Ok(holder.map(|holder| LockView { holder, expires_in }))
}
