//! A running API over stores of the caller's choice, and a client of it.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use sea_orm::DatabaseConnection;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zpack::accounts::http::AccountsApi;
use zpack::accounts::{Authenticator, Passwords, TokenSigner, admin};
use zpack::adapters::velocity::BridgeProof;
use zpack::audit::http::AuditApi;
use zpack::catalog::Catalog;
use zpack::cluster::http::ClusterApi;
use zpack::db::entities::user::Role;
use zpack::discovery::http::DiscoveryApi;
use zpack::instances::ServersApi;
use zpack::instances::quota::Quota;
use zpack::jobs::{Failpoints, Lists};
use zpack::kernel::{Clock, Secret, StoredSecret};
use zpack::observe::facts::Freshness;
use zpack::observe::live::LiveState;
use zpack::operations::Acceptor;
use zpack::operations::http::OperationsApi;
use zpack::ports::{Agent, CatalogSource, Hypervisor};
use zpack::power::http::PowerApi;
use zpack::provision::http::{ProvisionApi, ServerLimits};
use zpack::publishing::Publisher;
use zpack::publishing::http::EdgeApi;
use zpack::router::{Apis, DatabaseProbe, HealthApi, MetricsApi, ServeOptions, serve};
use zpack::teardown::http::TeardownApi;
use zpack::telemetry::Metrics;
use zpack::web::sse::Streams;
use zpack::web::{AllowedOrigins, Edge, RateLimiter};

use super::app::{DISCOVERY, INTERNAL, ORIGIN, PASSWORD, token_of};

/// How many event streams may be open at once.
pub const MOST_STREAMS: usize = 8;

/// What an API stands on.
pub struct Ground {
    /// The database.
    pub db: DatabaseConnection,
    /// Redis.
    pub lists: Lists,
    /// Where the catalog comes from.
    pub source: Arc<dyn CatalogSource>,
    /// The clock.
    pub clock: Clock,
    /// What one customer may have.
    pub quota: Quota,
    /// How long observations count.
    pub freshness: Freshness,
    /// The edge.
    pub publisher: Publisher,
    /// The cluster.
    pub hypervisor: Arc<dyn Hypervisor>,
    /// The agents.
    pub agent: Arc<dyn Agent>,
    /// The secret of the bridge.
    pub bridge: StoredSecret,
}

/// A running API and a client of it.
pub struct Door {
    /// Its clock.
    pub clock: Clock,
    /// Where it listens.
    pub address: SocketAddr,
    db: DatabaseConnection,
    passwords: Passwords,
    client: reqwest::Client,
    stop: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
}

impl Door {
    /// Starts one on a free port; it counts requests in its process.
    pub fn open(ground: Ground) -> Self {
        let Ground { db, lists, source, clock, quota, freshness, publisher, hypervisor, agent, bridge } = ground;
        let passwords = Passwords::new(2).unwrap();
        let secret = Secret::new("a signing secret of more than 32 bytes");
        let tokens = TokenSigner::new(&secret, Duration::from_secs(3600)).unwrap();
        let limiter = RateLimiter::new(clock.clone(), None);
        let (internal, discovery) = (Some(Secret::new(INTERNAL)), Some(Secret::new(DISCOVERY)));
        let stop = CancellationToken::new();
        let streams = Streams::new(MOST_STREAMS, stop.clone());
        let catalog = Catalog::new(source, db.clone(), clock.clone(), Duration::from_secs(60));
        let live = LiveState::new(lists.connection(), freshness.agent);
        let acceptor = Acceptor { db: db.clone(), lists, clock: clock.clone(), failpoints: Failpoints::default() };
        let apis = Apis {
            edge: Edge { origins: AllowedOrigins::new([ORIGIN.to_owned()]), ..Edge::default() },
            authenticator: Authenticator::new(db.clone(), clock.clone(), tokens.clone(), internal, discovery)
                .with_bridge(Some(Arc::new(BridgeProof::new(bridge, clock.clone())))),
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
            operations: OperationsApi { db: db.clone(), clock: clock.clone(), streams },
            servers: ServersApi { db: db.clone(), live, clock: clock.clone(), freshness },
            provision: ProvisionApi {
                acceptor: acceptor.clone(),
                catalog,
                quota,
                limits: ServerLimits { memory_mib: (512, 32_768), cpu_cores: (1, 16) },
            },
            power: PowerApi { acceptor: acceptor.clone(), agent },
            cluster: ClusterApi { hypervisor: hypervisor.clone() },
            teardown: TeardownApi { acceptor: acceptor.clone(), hypervisor },
            discovery: DiscoveryApi { db: db.clone(), clock: clock.clone() },
            publishing: EdgeApi { acceptor, publisher },
            audit: AuditApi { db: db.clone() },
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let options = ServeOptions { workers: 2, connections: 256, drain: Duration::from_secs(5) };
        let server = tokio::spawn(serve(listener, apis, options, stop.clone()));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { clock, address, db, passwords, client, stop, server }
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
        admin::create_user(&self.db, &self.passwords, invitation, self.clock.now()).await.unwrap();
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
    pub async fn close(self) {
        self.stop.cancel();
        self.server.await.unwrap().unwrap();
    }
}
