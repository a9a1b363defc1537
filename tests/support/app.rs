//! The HTTP API as its clients see it: on a free port, with its own database and Redis, a fixed clock, and the catalog
//! of the simulated artifact server.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::Response;
use serde_json::Value;
use zpack::config::DatabaseKind;
use zpack::instances::quota::Quota;
use zpack::jobs::Lists;
use zpack::kernel::{Clock, Secret, StoredSecret, Timestamp};
use zpack::ports::CatalogSource;
use zpack::router::{Allowances, Credentials, Parts, ServeOptions};
use zpack::web::ClientPolicy;
use zpack::web::sse::StreamLimits;

use super::door::Door;
pub use super::parts::FRESHNESS;
use super::parts::{bridge, parts};
use super::{PrivateRedis, TestDb, lists_at};

/// The internal token of every test app.
pub const INTERNAL: &str = "the-internal-token-of-the-tests";
/// The discovery token of every test app.
pub const DISCOVERY: &str = "the-discovery-token-of-the-tests";
/// The secret of the bridge of every test app.
pub const BRIDGE: &str = "the-bridge-secret-of-the-tests";
/// The one allowed origin.
pub const ORIGIN: &str = "https://portal.example";
/// A password for test accounts.
pub const PASSWORD: &str = "correct horse battery";

/// The options of a test app.
#[derive(Default)]
pub struct AppOptions {
    /// The quota of each customer.
    pub quota: Quota,
    /// The source of the catalog; by default the simulated artifact server.
    pub source: Option<Arc<dyn CatalogSource>>,
    /// The secret of the bridge; by default [`BRIDGE`].
    pub bridge: Option<StoredSecret>,
    /// Peers whose forwarded address is believed.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// The bounds of the server on one connection.
    pub serve: ServeOptions,
    /// How many event streams may be open.
    pub stream_limits: Option<StreamLimits>,
}

/// A running API.
pub struct TestApp {
    /// Its database.
    pub database: TestDb,
    /// Its Redis.
    pub redis: PrivateRedis,
    /// The lists in it.
    pub lists: Lists,
    door: Door,
    statements: Arc<AtomicUsize>,
}

impl Deref for TestApp {
    type Target = Door;

    fn deref(&self) -> &Door {
        &self.door
    }
}

impl TestApp {
    /// An app on SQLite.
    pub async fn start() -> Self {
        Self::start_with(AppOptions::default()).await
    }

    /// An app on SQLite with options.
    pub async fn start_with(options: AppOptions) -> Self {
        Self::start_on(TestDb::migrated(DatabaseKind::Sqlite).await, options)
    }

    /// An app on `database`.
    pub fn start_on(database: TestDb, options: AppOptions) -> Self {
        let redis = PrivateRedis::start();
        let lists = lists_at(redis.url());
        let statements = Arc::new(AtomicUsize::new(0));
        let mut db = database.db.clone();
        db.set_metric_callback({
            let statements = statements.clone();
            move |_| _ = statements.fetch_add(1, Ordering::SeqCst)
        });
        let clock = Clock::fixed(Timestamp::from_millis(1_800_000_000_000));
        let usual = parts(db, lists.clone(), clock.clone());
        let secret = options.bridge.unwrap_or_else(|| Secret::new(BRIDGE).into());
        let policy = ClientPolicy { trusted_proxies: options.trusted_proxies.into(), ..usual.client_policy.clone() };
        let parts = Parts {
            client_policy: policy,
            stream_limits: options.stream_limits.unwrap_or(usual.stream_limits),
            allowances: Allowances { quota: options.quota, ..usual.allowances },
            source: options.source.unwrap_or_else(|| usual.source.clone()),
            credentials: Credentials { bridge: bridge(secret, &clock), ..usual.credentials.clone() },
            ..usual
        };
        let door = Door::open_with(parts, options.serve);
        Self { database, redis, lists, door, statements }
    }

    /// How many SQL statements the API has executed; those of the test are not counted.
    pub fn statements(&self) -> usize {
        self.statements.load(Ordering::SeqCst)
    }

    /// Stops the server and waits until it has.
    pub async fn stop(self) -> TestDb {
        self.door.close().await;
        self.database
    }
}

/// The `token` of an answer.
pub async fn token_of(answer: Response) -> String {
    let body: Value = answer.json().await.unwrap();
    body["token"].as_str().unwrap_or_else(|| panic!("no token in {body}")).to_owned()
}

/// The problem document of an answer, checked against the contract.
pub async fn problem(answer: Response) -> Value {
    let status = answer.status().as_u16();
    let name = answer.headers().get("x-request-id").expect("a name").to_str().unwrap().to_owned();
    let kind = answer.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
    assert_eq!(kind.as_deref(), Some("application/problem+json"), "{status}");
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["status"], status);
    assert_eq!(body["instance"], name);
    assert_eq!(body["error"], body["detail"]);
    let code: zpack::web::Code = body["code"].as_str().unwrap().parse().unwrap();
    assert_eq!(code.status().as_u16(), status);
    assert_eq!(body["title"], code.title());
    assert!(body["type"].is_string() && body["retryable"].is_string(), "{body}");
    body
}
