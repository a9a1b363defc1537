//! `zpack serve`: the HTTP API and what runs beside it, until a signal comes and what is under way has been answered.

use std::net::TcpListener;
use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::listen::listen;
use super::upkeep::{DatabaseGauges, RedisGauges, Retention};
use super::{background, notify, signals, wiring};
use crate::accounts::http::AccountsApi;
use crate::accounts::{Authenticator, Passwords, TokenSigner};
use crate::adapters::slp::{PingSettings, ServerListPing};
use crate::audit::http::AuditApi;
use crate::background::{Runner, Task, TaskName};
use crate::catalog::{Catalog, CatalogRefresh};
use crate::cluster::http::ClusterApi;
use crate::config::{HttpConfig, ServeConfig, Settings, Source};
use crate::discovery::http::DiscoveryApi;
use crate::instances::ServersApi;
use crate::instances::quota::Quota;
use crate::jobs::{Failpoints, Lists};
use crate::kernel::Clock;
use crate::observe::facts::Freshness;
use crate::observe::live::LiveState;
use crate::observe::poller::{Poller, PollerSettings};
use crate::observe::proxy_watch::ProxyWatch;
use crate::operations::Acceptor;
use crate::operations::http::OperationsApi;
use crate::power::http::PowerApi;
use crate::provision::http::{ProvisionApi, ServerLimits};
use crate::publishing::http::EdgeApi;
use crate::router::{self, Apis, DatabaseProbe, HealthApi, MetricsApi, Probe, ServeOptions};
use crate::teardown::http::TeardownApi;
use crate::telemetry::Metrics;
use crate::web::sse::Streams;
use crate::web::{AllowedOrigins, Edge, RateLimiter, TrustedProxies};

/// Passwords hashed at one time; each takes a processor and 19 MiB for a moment.
const PARALLEL_PASSWORDS: usize = 4;

/// Event streams that may be open at one time.
const MOST_STREAMS: usize = 1000;

/// Runs the API until a signal comes.
pub async fn run(source: &dyn Source) -> anyhow::Result<()> {
    let config = ServeConfig::load(source)?;
    let stop = signals::stop_token()?;
    let listener = listen(config.http.listen, "PORT")?;
    let api = Api::connect(&config, listener, Metrics::default()).await?;
    notify::ready(&stop);
    api.run_until(stop).await
}

/// The API with its connections, ready to answer.
pub(super) struct Api {
    listener: TcpListener,
    apis: Apis,
    tasks: Vec<Box<dyn Task>>,
    metrics: Metrics,
    clock: Clock,
    failpoints: Failpoints,
    streams_end: CancellationToken,
}

impl Api {
    /// Connects to the stores. Clients that connect to `listener` meanwhile wait.
    pub(super) async fn connect(config: &ServeConfig, listener: TcpListener, metrics: Metrics) -> anyhow::Result<Self> {
        let clock = Clock::System;
        let db = wiring::database(&config.database).await?;
        let (_, lists) = wiring::redis(&config.redis).await?;
        let tokens = TokenSigner::new(&config.auth.secret, config.auth.token_ttl)
            .context("access tokens cannot be signed with API_AUTH_SECRET")?;
        let bridge = wiring::game_proxy(&config.velocity)?;
        let authenticator = Authenticator::new(
            db.clone(),
            clock.clone(),
            tokens.clone(),
            config.tokens.internal.clone(),
            config.tokens.discovery.clone(),
        )
        .with_bridge(bridge.secret);
        let passwords = Passwords::new(PARALLEL_PASSWORDS).context("passwords cannot be hashed")?;
        let probes: Vec<Arc<dyn Probe>> =
            vec![Arc::new(DatabaseProbe(db.clone())), Arc::new(RedisProbe(lists.clone()))];
        let source = wiring::artifacts(&config.catalog)?;
        let catalog = Catalog::new(source, db.clone(), clock.clone(), config.catalog.refresh);
        let streams_end = CancellationToken::new();
        let limiter = RateLimiter::new(clock.clone(), Some(lists.connection()));
        let settings = poller_settings(config);
        let freshness = Freshness::of_intervals(settings.interval, settings.host_interval);
        let settings_timeout = settings.timeout;
        let live = LiveState::new(lists.connection(), freshness.agent);
        let agents = wiring::agents(&config.agent)?;
        let hypervisor = wiring::hypervisor(&config.proxmox)?;
        let (agent_poll, container_listing) = Poller {
            db: db.clone(),
            live: live.clone(),
            agent: Arc::new(agents.within(settings.timeout).context("the client of the poller could not be made")?),
            hypervisor: hypervisor.clone(),
            clock: clock.clone(),
            settings,
            metrics: metrics.clone(),
        }
        .tasks();
        let watch = ProxyWatch {
            db: db.clone(),
            live: live.clone(),
            freshness,
            proxy: bridge.proxy.clone(),
            ping: Arc::new(ServerListPing::new(PingSettings { limit: settings_timeout })),
            clock: clock.clone(),
            interval: config.poller.interval * 2,
        };
        let tasks: Vec<Box<dyn Task>> = vec![
            Box::new(CatalogRefresh(catalog.clone())),
            Box::new(agent_poll),
            Box::new(container_listing),
            Box::new(watch),
            Box::new(DatabaseGauges { db: db.clone(), clock: clock.clone(), metrics: metrics.stores.clone() }),
            Box::new(RedisGauges { lists: lists.clone(), clock: clock.clone(), metrics: metrics.stores.clone() }),
            Box::new(Retention { db: db.clone(), clock: clock.clone(), metrics: metrics.stores.clone() }),
        ];
        let failpoints = Failpoints::parse(config.environment.failpoint.as_deref().unwrap_or_default());
        let acceptor = Acceptor { db: db.clone(), lists, clock: clock.clone(), failpoints: failpoints.clone() };
        let publishers = wiring::publishers(&config.zone, &config.velocity, bridge.proxy, &config.dns, db.clone())?;
        let apis = Apis {
            edge: edge(&config.http),
            authenticator,
            limiter: limiter.clone(),
            health: HealthApi { clock: clock.clone(), probes },
            metrics: MetricsApi { metrics: metrics.clone(), db: db.clone() },
            accounts: AccountsApi { db: db.clone(), clock: clock.clone(), passwords, tokens, limiter },
            catalog: catalog.clone(),
            operations: OperationsApi {
                db: db.clone(),
                clock: clock.clone(),
                streams: Streams::new(MOST_STREAMS, streams_end.clone()),
            },
            servers: ServersApi { db: db.clone(), live, clock: clock.clone(), freshness },
            provision: ProvisionApi {
                acceptor: acceptor.clone(),
                catalog,
                quota: Quota { servers: config.limits.servers, memory_mib: config.limits.total_memory_mib },
                limits: ServerLimits {
                    memory_mib: (config.limits.min_memory_mib, config.limits.max_memory_mib),
                    cpu_cores: (config.limits.min_cpu_cores, config.limits.max_cpu_cores),
                },
            },
            power: PowerApi { acceptor: acceptor.clone(), agent: Arc::new(agents) },
            cluster: ClusterApi { hypervisor: hypervisor.clone() },
            teardown: TeardownApi { acceptor: acceptor.clone(), hypervisor: hypervisor.clone() },
            discovery: DiscoveryApi { db: db.clone(), clock: clock.clone() },
            publishing: EdgeApi { acceptor, publisher: publishers.background },
            audit: AuditApi { db },
        };
        Ok(Self { listener, apis, tasks, metrics, clock, failpoints, streams_end })
    }

    /// Answers until `stop` fires, then lets requests under way end, up to the drain limit. `stop` fires when a task ends
    /// before that, and the error names it.
    pub(super) async fn run_until(self, stop: CancellationToken) -> anyhow::Result<()> {
        let Self { listener, apis, tasks, metrics, clock, failpoints, streams_end } = self;
        let address = listener.local_addr().context("the listener has no address")?;
        tracing::info!(%address, "the API listens on {address}");
        let mut runner = Runner::new(stop.clone(), &metrics, clock);
        background::add_all(&mut runner, tasks, &failpoints);
        let stopped = stop.clone();
        runner.keep(TaskName::of("event-streams"), async move {
            stopped.cancelled().await;
            // Open streams would hold up the drain.
            streams_end.cancel();
            Ok(())
        });
        runner.keep(TaskName::of("http-server"), async move {
            router::serve(listener, apis, ServeOptions::default(), stop).await.context("the HTTP server failed")
        });
        Ok(runner.run().await?)
    }
}

fn poller_settings(config: &ServeConfig) -> PollerSettings {
    PollerSettings {
        interval: config.poller.interval,
        timeout: config.poller.timeout,
        concurrency: config.poller.concurrency,
        // What Proxmox tells lags ten seconds behind; asking it as often as agents would bring nothing.
        host_interval: config.poller.interval * 2,
    }
}

fn edge(config: &HttpConfig) -> Edge {
    Edge {
        trusted_proxies: TrustedProxies::from(config.trusted_proxies.clone()),
        origins: AllowedOrigins::new(config.cors_origins.iter().cloned()),
    }
}

/// Whether Redis answers.
struct RedisProbe(Lists);

#[async_trait]
impl Probe for RedisProbe {
    fn name(&self) -> &'static str {
        "redis"
    }

    /// What is accepted stands in the database; without Redis it only starts later.
    fn is_vital(&self) -> bool {
        false
    }

    async fn answers(&self) -> bool {
        let answer: Result<String, _> = redis::cmd("PING").query_async(&mut self.0.connection()).await;
        if let Err(error) = &answer {
            tracing::debug!(%error, "Redis does not answer: {error}");
        }
        answer.is_ok()
    }
}
