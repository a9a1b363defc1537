//! The token that a client sends to its peers: its current value, and whether peers accept it.
//!
//! If the token is in a file, the file is read again when a peer refuses the token, and before the probe after a
//! cool-down, at most once a cool-down; a new value is used from then on, without a restart. The refusal is logged once
//! when it begins and once when the token is accepted again. See `docs/adr/0014-one-breaker-one-token.md`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::breaker::{Breaker, Pass};
use super::held_secret::HeldSecret;
use super::stopwatch::Stopwatch;
use crate::kernel::{Clock, Secret};
use crate::telemetry::Outage;

/// The default cool-down.
pub(super) const COOL_DOWN: Duration = Duration::from_secs(60);

/// The token of a client. `K` distinguishes the peers it is sent to; most clients have only one.
#[derive(Debug)]
pub(super) struct Token<K = ()> {
    held: Arc<HeldSecret>,
    cool_down: Duration,
    watch: Stopwatch,
    state: Mutex<State<K>>,
    /// When the file was read last; locked while it is read.
    read_at: tokio::sync::Mutex<Option<Instant>>,
    outage: Outage,
}

#[derive(Debug)]
struct State<K> {
    breaker: Breaker<K>,
    /// The token that the state of the breaker refers to.
    about: Secret,
}

/// One call with the token. If it is dropped without a result, nothing was learned about the token.
#[must_use]
#[derive(Debug)]
pub(super) struct Attempt<'a, K: Copy + Ord = ()> {
    token: &'a Token<K>,
    peer: K,
    secret: Secret,
    /// The pass of the call; `None` once its result was reported to the breaker.
    pass: Option<Pass<K>>,
    is_second: bool,
}

impl<K: Copy + Ord> Token<K> {
    /// The token `held`. `outage` begins the log lines about a refusal.
    pub(super) fn new(held: Arc<HeldSecret>, cool_down: Duration, clock: Clock, outage: &'static str) -> Self {
        let state = State { breaker: Breaker::new(cool_down), about: held.current() };
        let (watch, read_at) = (Stopwatch::of(clock), tokio::sync::Mutex::new(None));
        Self { held, cool_down, watch, state: Mutex::new(state), read_at, outage: Outage::of(outage) }
    }

    /// The current token.
    pub(super) fn current(&self) -> Secret {
        self.held.current()
    }

    /// A call to `peer` with the token, or the refusal that prevents it.
    pub(super) async fn admit(&self, peer: K) -> Result<Attempt<'_, K>, String> {
        let (secret, pass) = self.pass(peer)?;
        let mut attempt = Attempt { token: self, peer, secret, pass: Some(pass), is_second: false };
        if pass.is_probe() && self.was_replaced(&attempt.secret).await == Ok(true) {
            attempt.renew()?;
        }
        Ok(attempt)
    }

    /// Whether calls to `peer` are prevented now; returns the refusal.
    pub(super) fn kept_back(&self, peer: K) -> Option<String> {
        match self.pass(peer) {
            Ok((_, pass)) => {
                self.state().breaker.abandoned(pass);
                None
            }
            Err(detail) => Some(detail),
        }
    }

    fn pass(&self, peer: K) -> Result<(Secret, Pass<K>), String> {
        let now = self.watch.now();
        let mut state = self.state();
        let secret = self.held.current();
        if !state.about.matches(secret.expose()) {
            state.about = secret.clone();
            state.breaker.reset();
        }
        Ok((secret, state.breaker.admit(peer, now)?))
    }

    /// Whether the token differs from `refused` by now. The error says why its file cannot be used.
    async fn was_replaced(&self, refused: &Secret) -> Result<bool, String> {
        let mut read_at = self.read_at.lock().await;
        if !self.held.current().matches(refused.expose()) {
            return Ok(true);
        }
        let now = self.watch.now();
        if read_at.is_some_and(|at| now < at + self.cool_down) {
            return Ok(false);
        }
        let read = self.held.in_file().await;
        *read_at = Some(now);
        match read? {
            Some(secret) if !secret.matches(refused.expose()) => {
                tracing::info!("{}: a new token was read from its file", self.outage.what());
                self.held.replace(secret);
                Ok(true)
            }
            Some(_) | None => Ok(false),
        }
    }

    // Held for a few instructions and never across an await.
    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Copy + Ord> Attempt<'_, K> {
    /// The token to send.
    pub(super) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The peer refused the token with `detail`. Returns whether to repeat the call with the token that has replaced
    /// it: at most once.
    pub(super) async fn refused(&mut self, detail: &str) -> bool {
        let mut words = format!("{detail}; it is not sent for {} s", self.token.cool_down.as_secs());
        if !self.is_second {
            match self.token.was_replaced(&self.secret).await {
                Ok(true) => return self.renew().is_ok(),
                Ok(false) => {}
                Err(error) => words = format!("{words}; {error}"),
            }
        }
        let now = self.token.watch.now();
        if let Some(pass) = self.pass.take()
            && self.token.state().breaker.refused(pass, now, detail)
        {
            self.token.outage.failed(words);
        }
        false
    }

    /// The peer accepted the token, whatever else it answered.
    pub(super) fn accepted(mut self) {
        let now = self.token.watch.now();
        if let Some(pass) = self.pass.take()
            && self.token.state().breaker.accepted(pass, now)
        {
            self.token.outage.works();
        }
    }

    /// Takes the token that has replaced the one of this attempt.
    fn renew(&mut self) -> Result<(), String> {
        self.is_second = true;
        let (secret, pass) = self.token.pass(self.peer)?;
        (self.secret, self.pass) = (secret, Some(pass));
        Ok(())
    }
}

impl<K: Copy + Ord> Drop for Attempt<'_, K> {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.token.state().breaker.abandoned(pass);
        }
    }
}
