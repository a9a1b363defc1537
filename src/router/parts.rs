//! What the handlers are built from, and the one place that builds them: [`Apis::of`].
//!
//! `zpack serve`, `zpack dev` and the tests each fill in [`Parts`]; everything above it is the same in all three.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::DatabaseConnection;
use tokio_util::sync::CancellationToken;

use super::apis::Apis;
use super::health::{HealthApi, Probe};
use super::metrics::MetricsApi;
use crate::accounts::http::AccountsApi;
use crate::accounts::{Authenticator, Passwords, Sessions, TokenSigner};
use crate::audit::http::AuditApi;
use crate::catalog::Catalog;
use crate::cluster::http::ClusterApi;
use crate::db::Reads;
use crate::discovery::http::DiscoveryApi;
use crate::instances::ServersApi;
use crate::instances::quota::Quota;
use crate::jobs::{Failpoints, Lists};
use crate::kernel::{Clock, Secret};
use crate::observe::facts::Freshness;
use crate::observe::live::LiveState;
use crate::operations::http::OperationsApi;
use crate::operations::{Acceptor, Feeds};
use crate::ports::{Agent, BridgeSecret, CatalogSource, Hypervisor};
use crate::power::http::PowerApi;
use crate::provision::http::{ProvisionApi, ServerLimits};
use crate::publishing::Publisher;
use crate::publishing::http::EdgeApi;
use crate::teardown::http::TeardownApi;
use crate::telemetry::Metrics;
use crate::web::sse::{StreamLimits, Streams};
use crate::web::{ClientPolicy, RateLimiter};

/// What callers authenticate with.
#[derive(Clone)]
pub struct Credentials {
    /// Signs and checks the access tokens of users.
    pub tokens: TokenSigner,
    /// Hashes and checks passwords.
    pub passwords: Passwords,
    /// The token of internal callers.
    pub internal: Option<Secret>,
    /// The token of clients that read the discovery documents.
    pub discovery: Option<Secret>,
    /// The secret of the game proxy's callbacks.
    pub bridge: Option<Arc<dyn BridgeSecret>>,
}

/// What one customer may have.
#[derive(Clone, Copy)]
pub struct Allowances {
    /// The limits on all servers of a customer together.
    pub quota: Quota,
    /// The limits on one server.
    pub limits: ServerLimits,
}

/// Everything the HTTP API is built from.
#[derive(Clone)]
pub struct Parts {
    /// The database.
    pub db: DatabaseConnection,
    /// The database, for routes that only read.
    pub reads: Reads,
    /// The queues' lists in Redis.
    pub lists: Lists,
    /// The clock of the process.
    pub clock: Clock,
    /// The metrics of the process.
    pub metrics: Metrics,
    /// Trusted proxies and allowed origins.
    pub client_policy: ClientPolicy,
    /// What callers authenticate with.
    pub credentials: Credentials,
    /// The rate limits of callers.
    pub limiter: RateLimiter,
    /// What readiness depends on.
    pub probes: Vec<Arc<dyn Probe>>,
    /// The source of the catalog.
    pub source: Arc<dyn CatalogSource>,
    /// How often the catalog is fetched.
    pub catalog_refresh: Duration,
    /// How long observations remain valid.
    pub freshness: Freshness,
    /// What one customer may have.
    pub allowances: Allowances,
    /// The cluster.
    pub hypervisor: Arc<dyn Hypervisor>,
    /// The agents.
    pub agent: Arc<dyn Agent>,
    /// The edge. This publisher leaves most of each rate limit to the workers.
    pub publisher: Publisher,
    /// The maximum number of open event streams.
    pub stream_limits: StreamLimits,
    /// Ends the open event streams.
    pub streams_end: CancellationToken,
    /// Places where tests can stop the process.
    pub failpoints: Failpoints,
}

impl Apis {
    /// Builds the handlers' structs from `parts`.
    pub fn of(parts: Parts) -> Self {
        let Parts {
            db,
            reads,
            lists,
            clock,
            metrics,
            client_policy,
            credentials: Credentials { tokens, passwords, internal, discovery, bridge },
            limiter,
            probes,
            source,
            catalog_refresh,
            freshness,
            allowances: Allowances { quota, limits },
            hypervisor,
            agent,
            publisher,
            stream_limits,
            streams_end,
            failpoints,
        } = parts;
        let authenticator = Authenticator::new(reads.clone(), clock.clone(), tokens.clone(), internal, discovery);
        let catalog = Catalog::new(source, db.clone(), clock.clone(), catalog_refresh);
        let live = LiveState::new(lists.connection(), freshness.agent);
        let polls = live.router_polls();
        let streams = Streams::new(stream_limits, streams_end);
        let acceptor = Acceptor { db: db.clone(), lists, clock: clock.clone(), failpoints };
        Self {
            client_policy,
            authenticator: authenticator.with_bridge(bridge),
            limiter: limiter.clone(),
            health: HealthApi { clock: clock.clone(), probes },
            metrics: MetricsApi { metrics, db: db.clone() },
            accounts: AccountsApi { db: db.clone(), clock: clock.clone(), passwords, tokens, limiter },
            catalog: catalog.clone(),
            operations: OperationsApi {
                db: db.clone(),
                reads: reads.clone(),
                clock: clock.clone(),
                streams,
                feeds: Feeds::new(db.clone()),
                sessions: Sessions::new(db.clone(), clock.clone()),
            },
            servers: ServersApi { reads, live, clock: clock.clone(), freshness },
            provision: ProvisionApi { acceptor: acceptor.clone(), catalog, quota, limits },
            power: PowerApi { acceptor: acceptor.clone(), agent },
            cluster: ClusterApi { hypervisor: hypervisor.clone() },
            teardown: TeardownApi { acceptor: acceptor.clone(), hypervisor },
            discovery: DiscoveryApi::new(db.clone(), polls.clone(), clock),
            publishing: EdgeApi { acceptor, publisher, polls: Arc::new(polls) },
            audit: AuditApi { db },
        }
    }
}
