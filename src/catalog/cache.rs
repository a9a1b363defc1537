//! One catalog document: served from memory, refreshed in the background, and stored in the database.
//!
//! - A copy is fresh for 60 seconds, unless configured otherwise. An older one is served as stale while one refresh
//!   runs in the background.
//! - A copy older than [`LONGEST`] is not served; readers wait for a refresh, which they share.
//! - After a failed refresh the source is not read again before [`PAUSE`] is over.
//! - The last good copy is also stored in the database, so that it is served after a restart while the source is down.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sea_orm::DatabaseConnection;
use tokio::sync::{Mutex, RwLock};

use super::copies::{self, Copy};
use super::document::{Games, Runtimes};
use super::error::{CatalogUnavailable, RefreshError};
use super::parse::{MalformedDocument, parse_games, parse_runtimes};
use crate::kernel::{Clock, Timestamp};
use crate::ports::{CatalogError, CatalogSource, Fetched};

/// How old a copy may be and still be served.
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the source is not read after a failure.
pub(super) const PAUSE: Duration = Duration::from_secs(5);
/// The longest time of one refresh; the client of the source times out earlier.
const REFRESH_LIMIT: Duration = Duration::from_secs(10);

/// A document of the catalog.
pub(super) trait Document: Clone + Send + Sync + Sized + 'static {
    /// Its name in the database and in messages.
    const NAME: &'static str;

    /// Parses it.
    fn parse(text: &str) -> Result<Self, MalformedDocument>;

    /// Reads it from the source.
    fn fetch(
        source: &dyn CatalogSource,
        etag: Option<&str>,
    ) -> impl Future<Output = Result<Fetched, CatalogError>> + Send;
}

impl Document for Games {
    const NAME: &'static str = "games";

    fn parse(text: &str) -> Result<Self, MalformedDocument> {
        parse_games(text)
    }

    async fn fetch(source: &dyn CatalogSource, etag: Option<&str>) -> Result<Fetched, CatalogError> {
        source.games(etag).await
    }
}

impl Document for Runtimes {
    const NAME: &'static str = "runtimes";

    fn parse(text: &str) -> Result<Self, MalformedDocument> {
        parse_runtimes(text)
    }

    async fn fetch(source: &dyn CatalogSource, etag: Option<&str>) -> Result<Fetched, CatalogError> {
        source.runtimes(etag).await
    }
}

/// A document as it is served.
#[derive(Clone, Debug)]
pub struct Reading<D> {
    /// The document.
    pub document: Arc<D>,
    /// How long ago the source last confirmed it.
    pub age: Duration,
    /// How long a copy counts as fresh.
    pub fresh_for: Duration,
    /// Whether its age is beyond `fresh_for`.
    pub stale: bool,
}

/// The current copy.
struct Held<D> {
    document: Arc<D>,
    etag: Option<String>,
    current_at: Timestamp,
}

impl<D> Clone for Held<D> {
    fn clone(&self) -> Self {
        Self { document: self.document.clone(), etag: self.etag.clone(), current_at: self.current_at }
    }
}

/// The result of the last refresh; the lock around it makes refreshes run one after the other.
#[derive(Default)]
struct LastRefresh {
    failed_at: Option<Timestamp>,
    error: Option<RefreshError>,
}

/// One document of the catalog.
pub(super) struct Cache<D> {
    source: Arc<dyn CatalogSource>,
    db: DatabaseConnection,
    clock: Clock,
    fresh: Duration,
    held: RwLock<Option<Held<D>>>,
    loaded: Mutex<bool>,
    refreshing: Mutex<LastRefresh>,
    refreshes: AtomicU64,
}

impl<D: Document> Cache<D> {
    pub(super) fn new(source: Arc<dyn CatalogSource>, db: DatabaseConnection, clock: Clock, fresh: Duration) -> Self {
        Self {
            source,
            db,
            clock,
            fresh,
            held: RwLock::new(None),
            loaded: Mutex::new(false),
            refreshing: Mutex::new(LastRefresh::default()),
            refreshes: AtomicU64::new(0),
        }
    }

    /// The document. Waits for the source only when there is no copy that may be served.
    pub(super) async fn read(self: &Arc<Self>) -> Result<Reading<D>, CatalogUnavailable> {
        if let Some(reading) = self.read_copy().await {
            return Ok(reading);
        }
        self.load(self.clock.now()).await;
        if let Some(reading) = self.read_copy().await {
            return Ok(reading);
        }
        let seen = self.refreshes.load(Ordering::Acquire);
        // In a separate Tokio task: a reader that disconnects does not cancel the refresh of the others.
        let cache = self.clone();
        let refreshed = tokio::spawn(async move { cache.refresh(Some(seen)).await }).await;
        let error = match refreshed {
            Ok(outcome) => outcome.err(),
            Err(_) => Some(RefreshError::Interrupted { document: D::NAME }),
        };
        self.read_copy().await.ok_or(CatalogUnavailable { document: D::NAME, retry_after: PAUSE, source: error })
    }

    /// The copy, if it may be served. A stale copy starts a refresh in the background.
    async fn read_copy(self: &Arc<Self>) -> Option<Reading<D>> {
        let reading = self.servable(self.clock.now()).await?;
        if reading.stale {
            self.refresh_in_background();
        }
        Some(reading)
    }

    /// Refreshes the copy if it is not fresh.
    pub(super) async fn keep_fresh(&self) -> Result<(), RefreshError> {
        let fresh = self.servable(self.clock.now()).await.is_some_and(|reading| !reading.stale);
        if fresh { Ok(()) } else { self.refresh(None).await }
    }

    async fn servable(&self, now: Timestamp) -> Option<Reading<D>> {
        let held = self.held.read().await;
        let held = held.as_ref()?;
        let age = now.since(held.current_at);
        let document = held.document.clone();
        (age <= LONGEST).then_some(Reading { document, age, fresh_for: self.fresh, stale: age >= self.fresh })
    }

    fn refresh_in_background(self: &Arc<Self>) {
        let Ok(free) = self.refreshing.try_lock() else { return };
        drop(free);
        let cache = self.clone();
        tokio::spawn(async move {
            if let Err(error) = cache.refresh(None).await {
                tracing::debug!(%error, "the catalog document `{}` stays stale", D::NAME);
            }
        });
    }

    /// Refreshes once. Callers that waited while another refresh ran take over its result: those that have seen fewer
    /// refreshes than there are now, and all callers if the copy is fresh now.
    async fn refresh(&self, seen: Option<u64>) -> Result<(), RefreshError> {
        let mut last = self.refreshing.lock().await;
        let now = self.clock.now();
        let done_meanwhile = seen.is_some_and(|seen| self.refreshes.load(Ordering::Acquire) > seen);
        let paused = last.failed_at.is_some_and(|at| now.since(at) < PAUSE && at <= now);
        if done_meanwhile || paused {
            return last.error.clone().map_or(Ok(()), Err);
        }
        self.load(now).await;
        if self.servable(now).await.is_some_and(|reading| !reading.stale) {
            return Ok(());
        }
        let limit = tokio::time::timeout(REFRESH_LIMIT, self.fetch());
        let outcome = limit.await.unwrap_or(Err(RefreshError::Interrupted { document: D::NAME }));
        last.failed_at = outcome.is_err().then_some(now);
        last.error = outcome.clone().err();
        self.refreshes.fetch_add(1, Ordering::Release);
        if let Err(error) = &outcome {
            // The background task that keeps the copy fresh gets the same error and logs the outage.
            let error = error as &dyn std::error::Error;
            tracing::debug!(error, "the catalog document `{}` could not be refreshed", D::NAME);
        }
        outcome
    }

    /// Loads the copy from the database, once. If the database does not answer, the next call tries again.
    async fn load(&self, now: Timestamp) {
        let mut loaded = self.loaded.lock().await;
        if *loaded {
            return;
        }
        let copy = match copies::find(&self.db, D::NAME).await {
            Ok(copy) => copy,
            Err(error) => {
                tracing::warn!(%error, "the stored copy of the catalog document `{}` could not be read", D::NAME);
                return;
            }
        };
        *loaded = true;
        let Some(copy) = copy else { return };
        match D::parse(&copy.body) {
            Ok(document) => {
                // A copy from the future (a clock was set back) counts as current now; otherwise it would never become
                // stale.
                let current_at = copy.fetched_at.min(now);
                let mut held = self.held.write().await;
                // A refresh may have finished while the database did not answer.
                held.get_or_insert(Held { document: Arc::new(document), etag: copy.etag, current_at });
            }
            Err(error) => {
                tracing::warn!(%error, "the stored copy of the catalog document `{}` is malformed", D::NAME);
            }
        }
    }

    async fn fetch(&self) -> Result<(), RefreshError> {
        let held = self.held.read().await.clone();
        let etag = held.as_ref().and_then(|held| held.etag.as_deref());
        let fetched = D::fetch(&*self.source, etag).await;
        let fetched = fetched.map_err(|source| RefreshError::Source { document: D::NAME, source })?;
        let now = self.clock.now();
        let stored = match (fetched, held) {
            (Fetched::Unchanged, Some(held)) => {
                *self.held.write().await = Some(Held { current_at: now, ..held });
                copies::touch(&self.db, D::NAME, now).await
            }
            (Fetched::Unchanged, None) => return Err(RefreshError::NothingToKeep { document: D::NAME }),
            (Fetched::Document { body, etag }, _) => {
                let parsed = D::parse(&body);
                let parsed = parsed.map_err(|source| RefreshError::Malformed { document: D::NAME, source })?;
                let held = Held { document: Arc::new(parsed), etag: etag.clone(), current_at: now };
                *self.held.write().await = Some(held);
                copies::put(&self.db, D::NAME, &Copy { body, etag, fetched_at: now }).await
            }
        };
        if let Err(error) = stored {
            tracing::warn!(%error, "the catalog document `{}` could not be stored; it may be missing after a restart", D::NAME);
        }
        Ok(())
    }
}
