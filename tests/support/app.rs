//! The HTTP API as its clients see it: on a free port, over a database of its own, with a clock that stands still.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zpack::accounts::http::AccountsApi;
use zpack::accounts::{Authenticator, Passwords, TokenSigner, admin};
use zpack::audit::http::AuditApi;
use zpack::catalog::Catalog;
use zpack::config::DatabaseKind;
use zpack::db::entities::user::Role;
use zpack::instances::facts::Freshness;
use zpack::instances::http::ServersApi;
use zpack::instances::live::LiveState;
use zpack::instances::quota::Quota;
use zpack::jobs::{Failpoints, Lists};
use zpack::kernel::{Clock, Secret, Timestamp};
use zpack::operations::http::OperationsApi;
use zpack::ports::{CatalogError, CatalogSource, Fetched};
use zpack::provision::http::{ProvisionApi, ServerLimits};
use zpack::router::{Apis, DatabaseProbe, HealthApi, MetricsApi, ServeOptions, serve};
use zpack::telemetry::Metrics;
use zpack::web::sse::Streams;
use zpack::web::{AllowedOrigins, Edge, RateLimiter};

use super::{PrivateRedis, TestDb};

/// The internal token of every test app.
pub const INTERNAL: &str = "the-internal-token-of-the-tests";
/// The discovery token of every test app.
pub const DISCOVERY: &str = "the-discovery-token-of-the-tests";
/// The one allowed origin.
pub const ORIGIN: &str = "https://portal.example";
/// A password for test accounts.
pub const PASSWORD: &str = "correct horse battery";

/// A running API.
pub struct TestApp {
    /// Its database.
    pub database: TestDb,
    /// Its clock.
    pub clock: Clock,
    /// Where it listens.
    pub address: SocketAddr,
    passwords: Passwords,
    client: reqwest::Client,
    stop: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
}

impl TestApp {
    /// One on SQLite, counting requests in its process.
    pub async fn start() -> Self {
        Self::start_with(DatabaseKind::Sqlite, None).await
    }

    /// One on a database of `kind`, counting requests in `redis` when it is given.
    pub async fn start_with(kind: DatabaseKind, redis: Option<&PrivateRedis>) -> Self {
        // Without a Redis everything has to work that does not need one.
        let url = redis.map_or_else(|| "redis://127.0.0.1:1/".to_owned(), PrivateRedis::url);
        let lists = Lists::open(&redis::Client::open(url).unwrap()).unwrap();
        let database = TestDb::migrated(kind).await;
        let clock = Clock::fixed(Timestamp::from_millis(1_800_000_000_000));
        let db = database.db.clone();
        let passwords = Passwords::new(2).unwrap();
        let secret = Secret::new("a signing secret of more than 32 bytes");
        let tokens = TokenSigner::new(&secret, Duration::from_secs(3600)).unwrap();
        let limiter = RateLimiter::new(clock.clone(), redis.map(|_| lists.connection()));
        let (internal, discovery) = (Some(Secret::new(INTERNAL)), Some(Secret::new(DISCOVERY)));
        let stop = CancellationToken::new();
        let catalog = Catalog::new(Arc::new(NoCatalog), db.clone(), clock.clone(), Duration::from_secs(60));
        let freshness = Freshness::of_intervals(Duration::from_secs(5), Duration::from_secs(10));
        let live = LiveState::new(lists.connection(), freshness.agent);
        let apis = Apis {
            edge: Edge { origins: AllowedOrigins::new([ORIGIN.to_owned()]), ..Edge::default() },
            authenticator: Authenticator::new(db.clone(), clock.clone(), tokens.clone(), internal, discovery),
            limiter: limiter.clone(),
            health: HealthApi { clock: clock.clone(), probes: vec![Arc::new(DatabaseProbe(db.clone()))] },
            metrics: MetricsApi { metrics: Metrics::default(), db: db.clone() },
            accounts: AccountsApi {
                db: db.clone(),
                clock: clock.clone(),
                passwords: passwords.clone(),
                tokens,
                limiter,
            },
            catalog: catalog.clone(),
            operations: OperationsApi { db: db.clone(), clock: clock.clone(), streams: Streams::new(8, stop.clone()) },
            servers: ServersApi { db: db.clone(), live, clock: clock.clone(), freshness },
            provision: ProvisionApi {
                db: db.clone(),
                clock: clock.clone(),
                lists,
                catalog,
                quota: Quota::default(),
                limits: ServerLimits { memory_mib: (512, 32_768), cpu_cores: (1, 16) },
                failpoints: Failpoints::default(),
            },
            audit: AuditApi { db },
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let options = ServeOptions { workers: 1, connections: 256, drain: Duration::from_secs(5) };
        let server = tokio::spawn(serve(listener, apis, options, stop.clone()));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { database, clock, address, passwords, client, stop, server }
    }

    /// A request to be completed.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    /// `GET path`.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// `POST path` with a JSON body.
    pub fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.request(Method::POST, path).json(body)
    }

    /// Registers `name` and returns its token.
    pub async fn register(&self, name: &str) -> String {
        let body = json!({ "email": format!("{name}@example.com"), "username": name, "password": PASSWORD });
        let answer = self.post("/api/auth/register", &body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
        token_of(answer).await
    }

    /// Creates the admin `name` as an operator would, and returns its token.
    pub async fn admin(&self, name: &str) -> String {
        let invitation = admin::Invitation {
            email: format!("{name}@example.com").parse().unwrap(),
            username: name.parse().unwrap(),
            role: Role::Admin,
            password: Secret::new(PASSWORD),
        };
        admin::create_user(&self.database.db, &self.passwords, invitation, self.clock.now()).await.unwrap();
        self.login(name).await
    }

    /// A new token for the account `name`.
    pub async fn login(&self, name: &str) -> String {
        let body = json!({ "identifier": name, "password": PASSWORD });
        token_of(self.post("/api/auth/login", &body).send().await.unwrap()).await
    }

    /// Sends `bytes` as they are and reads until the server closes the connection.
    pub async fn raw(&self, bytes: &[u8]) -> String {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let (mut reader, mut writer) = socket.split();
        let mut answer = Vec::new();
        let write = async {
            // The server may answer and close before it has read everything.
            _ = writer.write_all(bytes).await;
        };
        let read = tokio::time::timeout(Duration::from_secs(10), reader.read_to_end(&mut answer));
        let ((), outcome) = tokio::join!(write, read);
        assert!(outcome.is_ok(), "the server neither answered nor closed within 10 s");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Stops the server and waits until it has.
    pub async fn stop(self) -> TestDb {
        self.stop.cancel();
        self.server.await.unwrap().unwrap();
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

struct NoCatalog;

#[async_trait]
impl CatalogSource for NoCatalog {
    async fn games(&self, _: Option<&str>) -> Result<Fetched, CatalogError> {
        Ok(Fetched::Document { body: json!({ "games": [] }).to_string(), etag: None })
    }

    async fn runtimes(&self, _: Option<&str>) -> Result<Fetched, CatalogError> {
        Ok(Fetched::Document { body: json!({ "runtimes": [] }).to_string(), etag: None })
    }
}
