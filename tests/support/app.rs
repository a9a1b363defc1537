//! The HTTP API as its clients see it: on a free port, over a database and a Redis of its own, with a clock that stands
//! still and the catalog of the simulated artifact server.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Response;
use serde_json::Value;
use zpack::adapters::agent::{AgentSettings, Agents};
use zpack::adapters::proxmox::{Cloning, Deadlines, Endpoint, Proxmox, ProxmoxSettings};
use zpack::adapters::tls::TlsVerify;
use zpack::config::DatabaseKind;
use zpack::edge::{EdgePolicy, Targets};
use zpack::instances::quota::Quota;
use zpack::jobs::Lists;
use zpack::kernel::{Clock, Secret, StoredSecret, Timestamp};
use zpack::observe::facts::Freshness;
use zpack::ports::{Agent, CatalogSource, Hypervisor};
use zpack::publishing::Publisher;

use super::door::{Door, Ground};
use super::{PrivateRedis, TestDb, artifacts};

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

/// How long observations count in a test app.
pub const FRESHNESS: Freshness = Freshness::of_intervals(Duration::from_secs(5), Duration::from_secs(10));

/// How a test app differs from the usual one.
#[derive(Default)]
pub struct AppOptions {
    /// What one customer may have.
    pub quota: Quota,
    /// Where the catalog comes from, if not from the simulated artifact server.
    pub source: Option<Arc<dyn CatalogSource>>,
    /// The secret of the bridge, if not [`BRIDGE`].
    pub bridge: Option<StoredSecret>,
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
    /// One on SQLite.
    pub async fn start() -> Self {
        Self::start_with(AppOptions::default()).await
    }

    /// One on SQLite that differs from the usual one.
    pub async fn start_with(options: AppOptions) -> Self {
        Self::start_on(TestDb::migrated(DatabaseKind::Sqlite).await, options)
    }

    /// One on `database`.
    pub fn start_on(database: TestDb, options: AppOptions) -> Self {
        let redis = PrivateRedis::start();
        let lists = Lists::open(&redis::Client::open(redis.url()).unwrap()).unwrap();
        let statements = Arc::new(AtomicUsize::new(0));
        let mut db = database.db.clone();
        db.set_metric_callback({
            let statements = statements.clone();
            move |_| _ = statements.fetch_add(1, Ordering::SeqCst)
        });
        let clock = Clock::fixed(Timestamp::from_millis(1_800_000_000_000));
        let publisher = Publisher::new(db.clone(), Targets::default(), EdgePolicy::default(), clock.clone());
        let door = Door::open(Ground {
            db,
            lists: lists.clone(),
            source: options.source.unwrap_or_else(artifacts::shared),
            clock,
            quota: options.quota,
            freshness: FRESHNESS,
            publisher,
            hypervisor: nowhere(),
            agent: no_agents(),
            bridge: options.bridge.unwrap_or_else(|| Secret::new(BRIDGE).into()),
        });
        Self { database, redis, lists, door, statements }
    }

    /// How many SQL statements the API has executed; those of the test do not count.
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

/// The problem an answer carries, checked against the contract.
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

/// Agents of which none answers.
pub fn no_agents() -> Arc<dyn Agent> {
    let settings = AgentSettings { port: 9, token: None, timeout: Duration::from_secs(2), cool_down: Duration::ZERO };
    Arc::new(Agents::new(settings, Clock::System).unwrap())
}

/// A cluster that nobody answers for.
fn nowhere() -> Arc<dyn Hypervisor> {
    let base = "http://127.0.0.1:9/api2/json".parse().unwrap();
    let settings = ProxmoxSettings {
        endpoints: vec![Endpoint { base, node: None }],
        token: Secret::new("nobody@pve!test=none").into(),
        tls: TlsVerify::SystemRoots,
        cloning: Cloning::Linked,
        deadlines: Deadlines::default(),
    };
    Arc::new(Proxmox::new(&settings, Clock::System).unwrap())
}
