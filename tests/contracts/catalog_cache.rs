//! The catalog's cache against a source that counts, refuses and hangs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, Notify};
use zpack::catalog::{Catalog, RefreshError};
use zpack::kernel::{Clock, Timestamp};
use zpack::ports::{CatalogError, CatalogSource, Fetched};

use crate::support::{TestDb, on_every_database};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A source that serves the games it was given.
#[derive(Default)]
struct Source {
    games: Mutex<String>,
    down: AtomicBool,
    hanging: AtomicBool,
    asked: AtomicUsize,
    unchanged: AtomicUsize,
    release: Notify,
}

impl Source {
    fn etag(body: &str) -> String {
        format!("\"{}\"", body.len())
    }

    async fn offer(&self, version: &str) {
        let body =
            serde_json::json!({"games": [{"id": "rust", "variants": [{"id": "vanilla", "versions": [version]}]}]});
        *self.games.lock().await = body.to_string();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl CatalogSource for Source {
    async fn games(&self, etag: Option<&str>) -> Result<Fetched, CatalogError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.hanging.load(Ordering::SeqCst) {
            self.release.notified().await;
        }
        if self.down.load(Ordering::SeqCst) {
            return Err(CatalogError::Unavailable { url: "http://artifacts/".into(), detail: "refused".into() });
        }
        let body = self.games.lock().await.clone();
        if etag == Some(Self::etag(&body).as_str()) {
            self.unchanged.fetch_add(1, Ordering::SeqCst);
            return Ok(Fetched::Unchanged);
        }
        Ok(Fetched::Document { etag: Some(Self::etag(&body)), body })
    }

    async fn runtimes(&self, _: Option<&str>) -> Result<Fetched, CatalogError> {
        Ok(Fetched::Document { body: "{}".to_owned(), etag: None })
    }
}

struct Rig {
    source: Arc<Source>,
    clock: Clock,
    test: TestDb,
}

impl Rig {
    async fn over(test: TestDb) -> Self {
        let source = Arc::new(Source::default());
        source.offer("1.0").await;
        Self { source, clock: Clock::fixed(Timestamp::from_millis(1_800_000_000_000)), test }
    }

    async fn new() -> Self {
        Self::over(TestDb::migrated(zpack::config::DatabaseKind::Sqlite).await).await
    }

    /// A catalog as a new process would have it.
    fn catalog(&self) -> Catalog {
        Catalog::new(self.source.clone(), self.test.db.clone(), self.clock.clone(), MINUTE)
    }
}

/// The version that is served, whether it is stale, and its age in seconds.
async fn served(catalog: &Catalog) -> (String, bool, u64) {
    let reading = catalog.games().await.unwrap();
    (reading.document.games[0].variants[0].versions[0].clone(), reading.stale, reading.age.as_secs())
}

/// Waits until the catalog serves `version` as fresh.
async fn until_fresh(catalog: &Catalog, version: &str) {
    let waiting = async {
        while served(catalog).await != (version.to_owned(), false, 0) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("the catalog never became fresh");
}

#[tokio::test]
async fn a_hundred_readers_cost_one_fetch() {
    let rig = Rig::new().await;
    let catalog = rig.catalog();
    let readers = (0..100).map(|_| served(&catalog));
    for reading in futures_util::future::join_all(readers).await {
        assert_eq!(reading, ("1.0".to_owned(), false, 0));
    }
    rig.clock.advance(MINUTE - Duration::from_secs(1));
    assert_eq!(served(&catalog).await.2, 59);
    assert_eq!(rig.source.asked(), 1);
}

#[tokio::test]
async fn a_hundred_readers_of_a_dead_source_cost_one_fetch() {
    let rig = Rig::new().await;
    rig.source.down.store(true, Ordering::SeqCst);
    let catalog = rig.catalog();
    let readers = (0..100).map(|_| catalog.games());
    for reading in futures_util::future::join_all(readers).await {
        let error = reading.unwrap_err();
        assert!(matches!(error.source, Some(RefreshError::Source { .. })), "{error:?}");
    }
    assert_eq!(rig.source.asked(), 1);
    // The source is not read for a while, and then again.
    rig.clock.advance(Duration::from_secs(6));
    rig.source.down.store(false, Ordering::SeqCst);
    assert_eq!(served(&catalog).await, ("1.0".to_owned(), false, 0));
}

#[tokio::test]
async fn a_stale_copy_is_served_at_once_while_the_source_hangs() {
    let rig = Rig::new().await;
    let catalog = rig.catalog();
    served(&catalog).await;
    rig.source.offer("2.00").await;
    rig.source.hanging.store(true, Ordering::SeqCst);
    rig.clock.advance(MINUTE);
    for _ in 0..20 {
        let reading = tokio::time::timeout(Duration::from_secs(2), served(&catalog)).await.expect("a reader waited");
        assert_eq!(reading, ("1.0".to_owned(), true, 60));
    }
    rig.source.hanging.store(false, Ordering::SeqCst);
    rig.source.release.notify_waiters();
    rig.source.release.notify_one();
    until_fresh(&catalog, "2.00").await;
    assert_eq!(rig.source.asked(), 2);
}

#[tokio::test]
async fn an_unchanged_document_is_confirmed_by_its_tag() {
    let rig = Rig::new().await;
    let catalog = rig.catalog();
    served(&catalog).await;
    rig.clock.advance(MINUTE);
    until_fresh(&catalog, "1.0").await;
    assert_eq!(rig.source.unchanged.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_malformed_document_does_not_replace_the_good_copy() {
    let rig = Rig::new().await;
    let catalog = rig.catalog();
    served(&catalog).await;
    *rig.source.games.lock().await = "<html>maintenance</html>".to_owned();
    rig.clock.advance(MINUTE);
    assert_eq!(served(&catalog).await, ("1.0".to_owned(), true, 60));
    while rig.source.asked() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(served(&catalog).await, ("1.0".to_owned(), true, 60));
}

on_every_database!(a_restart_while_the_source_is_down_serves_the_stored_copy, a_stored_copy_follows_the_source);

async fn a_restart_while_the_source_is_down_serves_the_stored_copy(test: TestDb) {
    let rig = Rig::over(test).await;
    served(&rig.catalog()).await;
    rig.source.down.store(true, Ordering::SeqCst);

    rig.clock.advance(DAY - MINUTE);
    let restarted = rig.catalog();
    assert_eq!(served(&restarted).await, ("1.0".to_owned(), true, 86_340));

    // A copy older than a day is not served, neither from memory nor from the database.
    rig.clock.advance(2 * MINUTE);
    for catalog in [restarted, rig.catalog()] {
        let error = catalog.games().await.unwrap_err();
        assert_eq!(error.document, "games");
    }
}

async fn a_stored_copy_follows_the_source(test: TestDb) {
    let rig = Rig::over(test).await;
    served(&rig.catalog()).await;
    rig.source.offer("2.00").await;
    rig.clock.advance(DAY + MINUTE);
    // The copy is too old: this reader waits for the source.
    assert_eq!(served(&rig.catalog()).await, ("2.00".to_owned(), false, 0));
    rig.source.down.store(true, Ordering::SeqCst);
    assert_eq!(served(&rig.catalog()).await, ("2.00".to_owned(), false, 0));
}
