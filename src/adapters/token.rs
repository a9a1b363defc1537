//! The token that a client shows its peers: what it is now, and whether it is believed to be accepted.
//!
//! A token in a file is read again when a peer refuses it and before it is tried again after a cool-down, at most once a
//! cool-down; another one is used from then on, without a restart. The refusal is logged once when it begins and once
//! when the token is accepted again. See `docs/adr/0014-one-breaker-one-token.md`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::breaker::{Breaker, Pass};
use super::held_secret::HeldSecret;
use super::stopwatch::Stopwatch;
use crate::kernel::{Clock, Secret};
use crate::telemetry::Outage;

/// How long a refused token is not sent again, unless it is set otherwise.
pub(super) const COOL_DOWN: Duration = Duration::from_secs(60);

/// The token of a client. `K` says which of the peers that it is shown to is meant; most clients have only one.
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
    /// The token that the breaker knows about.
    about: Secret,
}

/// One call with the token. Dropped without a verdict, it has found out nothing.
#[must_use]
#[derive(Debug)]
pub(super) struct Attempt<'a, K: Copy + Ord = ()> {
    token: &'a Token<K>,
    peer: K,
    secret: Secret,
    /// What the breaker gave for the call; `None` once the breaker knows the outcome.
    pass: Option<Pass<K>>,
    is_second: bool,
}

impl<K: Copy + Ord> Token<K> {
    /// The token `held`. `outage` begins the lines of the log about a refusal of it.
    pub(super) fn new(held: Arc<HeldSecret>, cool_down: Duration, clock: Clock, outage: &'static str) -> Self {
        let state = State { breaker: Breaker::new(cool_down), about: held.current() };
        let (watch, read_at) = (Stopwatch::of(clock), tokio::sync::Mutex::new(None));
        Self { held, cool_down, watch, state: Mutex::new(state), read_at, outage: Outage::of(outage) }
    }

    /// The token as it is now.
    pub(super) fn current(&self) -> Secret {
        self.held.current()
    }

    /// The token to send to `peer`, or the words of a refusal that keeps it back.
    pub(super) async fn admit(&self, peer: K) -> Result<Attempt<'_, K>, String> {
        let (secret, pass) = self.pass(peer)?;
        let mut attempt = Attempt { token: self, peer, secret, pass: Some(pass), is_second: false };
        if pass.is_probe() && self.was_replaced(&attempt.secret).await == Ok(true) {
            attempt.renew()?;
        }
        Ok(attempt)
    }

    /// Whether a call to `peer` is kept back, and the words of the refusal.
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

    /// Whether there is another token than `refused` by now. The error says why its file cannot be used.
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
                tracing::info!("{}: the token in the file is another one and is used from now on", self.outage.what());
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

    /// The peer refused the token, and said `detail`. Returns whether to send the call again, with the token that has
    /// replaced it: at most once.
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

    /// The peer accepted the token, whatever else it said.
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
