//! The lock in Redis: short commands on a shared connection, each with a limit, so that silence is noticed in time.

use std::time::Duration;

use redis::aio::ConnectionManager;
use redis::{RedisError, Script};
use tokio::time::Instant;

use crate::telemetry::{LeaseMetrics, Outcome};

use super::name::LeaseName;
use super::settings::LeaseSettings;

/// The lock as one candidacy sees it.
#[derive(Clone)]
pub(super) struct Lock {
    connection: ConnectionManager,
    key: &'static str,
    holder: String,
    settings: LeaseSettings,
    metrics: LeaseMetrics,
}

impl Lock {
    pub(super) fn new(
        connection: ConnectionManager,
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

    /// Takes the lock if it is free. Also true when it is ours already: the reply to an earlier attempt was lost.
    pub(super) async fn take(&self) -> Result<bool, RedisError> {
        let mut command = redis::cmd("SET");
        command.arg(self.key).arg(&self.holder).arg("NX").arg("PX").arg(self.ttl_millis());
        let mut connection = self.connection.clone();
        let set: Option<String> = self.ask(command.query_async(&mut connection)).await?;
        if set.is_some() { Ok(true) } else { self.renew().await }
    }

    /// Renews the lock. Returns whether it is ours.
    pub(super) async fn renew(&self) -> Result<bool, RedisError> {
        let script = Script::new(include_str!("scripts/renew.lua"));
        let mut call = script.prepare_invoke();
        call.key(self.key).arg(&self.holder).arg(self.ttl_millis());
        self.ask(call.invoke_async(&mut self.connection.clone())).await
    }

    /// Gives the lock back if it is ours.
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
        let answer = match tokio::time::timeout(self.settings.patience(), command).await {
            Ok(answer) => answer,
            Err(_) => Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer about the lock").into()),
        };
        let outcome = if answer.is_ok() { Outcome::Succeeded } else { Outcome::Failed };
        self.metrics.asked(outcome, asked.elapsed());
        answer
    }
}

/// What is under the key of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockView {
    /// Who holds it.
    pub holder: String,
    /// How long it lives without renewal; `None` for ever, which no leader of ours sets.
    pub expires_in: Option<Duration>,
}

/// Looks at the lock of `name`. `None` when it is free.
pub async fn look(connection: &ConnectionManager, name: LeaseName) -> Result<Option<LockView>, RedisError> {
    let mut pipe = redis::pipe();
    pipe.get(name.lock_key()).pttl(name.lock_key());
    let (holder, millis): (Option<String>, i64) = pipe.query_async(&mut connection.clone()).await?;
    let expires_in = u64::try_from(millis).ok().map(Duration::from_millis);
    Ok(holder.map(|holder| LockView { holder, expires_in }))
}
