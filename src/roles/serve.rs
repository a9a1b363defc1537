//! `zpack serve`: runs the HTTP API and its background tasks until a signal arrives, and then finishes the open
//! requests.

use std::net::TcpListener;
use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::listen::listen;
use super::upkeep::{DatabaseGauges, RedisGauges, Retention};
use super::{background, notify, signals, wiring};
use crate::accounts::{Passwords, TokenSigner};
use crate::adapters::slp::{PingSettings, ServerListPing};
use crate::background::{Runner, Task, TaskName};
use crate::catalog::CatalogRefresh;
use crate::config::{HttpConfig, LimitsConfig, ServeConfig, Settings, Source};
use crate::instances::quota::Quota;
use crate::jobs::{Failpoints, Lists};
use crate::kernel::Clock;
use crate::observe::facts::{Freshness, PollerId};
use crate::observe::live::LiveState;
use crate::observe::poller::{Poller, PollerSettings};
use crate::observe::proxy_watch::ProxyWatch;
use crate::provision::http::ServerLimits;
use crate::router::{self, Allowances, Apis, Credentials, DatabaseProbe, Parts, Probe, ServeOptions};
use crate::telemetry::Metrics;
use crate::web::sse::StreamLimits;
use crate::web::{AllowedOrigins, ClientPolicy, RateLimiter, TrustedProxies};

/// Passwords hashed at the same time. Each takes a processor and 19 MiB of memory; one processor hashes some 20 a second.
const PARALLEL_PASSWORDS: usize = 2;

/// The maximum number of open event streams.
const STREAM_LIMITS: StreamLimits = StreamLimits { all: 1000, of_account: 32 };

/// Runs the API until a signal arrives.
pub async fn run(source: &dyn Source) -> anyhow::Result<()> {
    let config = ServeConfig::load(source)?;
    let stop = signals::stop_token()?;
    let listener = listen(config.http.listen, "PORT")?;
    let api = Api::connect(&config, listener, Metrics::default(), Clock::System).await?;
    notify::ready(&stop);
    api.run_until(stop).await
}

/// The API with its connections, ready to serve.
pub(super) struct Api {
    listener: TcpListener,
    apis: Apis,
    options: ServeOptions,
    tasks: Vec<Box<dyn Task>>,
    metrics: Metrics,
    clock: Clock,
    failpoints: Failpoints,
    streams_end: CancellationToken,
}

impl Api {
    /// Connects to the stores. Clients that connect to `listener` in the meantime wait.
    pub(super) async fn connect(
        config: &ServeConfig,
        listener: TcpListener,
        metrics: Metrics,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let (db, reads) = wiring::reading_database(&config.database).await?;
        let lists = wiring::redis(&config.redis)?;
        let tokens = TokenSigner::new(&config.auth.secret, config.auth.token_ttl)
            .context("API_AUTH_SECRET cannot sign access tokens")?;
        let passwords = Passwords::new(PARALLEL_PASSWORDS).context("cannot set up password hashing")?;
        let bridge = wiring::game_proxy(&config.velocity, &clock)?;
        let poller = poller_settings(config);
        let freshness = Freshness::of_intervals(poller.longest_interval, poller.host_interval);
        let agents = wiring::agents(&config.agent, &clock)?;
        let poll_agents = agents.within(poller.timeout).context("cannot create the poller's client")?;
        // Longer than the longest time between two polls of an agent.
        let poll_agents = poll_agents.keeping(poller.longest_interval * 2);
        let hypervisor = wiring::hypervisor(&config.proxmox, &clock)?;
        let (proxy, zone) = (bridge.proxy.clone(), &config.zone);
        let id = PollerId(rand::random());
        let live = LiveState::new(lists.connection(), freshness.agent);
        let polls = live.router_polls();
        let publishers = wiring::publishers(zone, &config.velocity, proxy, &config.dns, polls, db.clone(), &clock)?;
        let watch = ProxyWatch {
            db: db.clone(),
            live: live.clone(),
            freshness,
            proxy: bridge.proxy,
            ping: Arc::new(ServerListPing::new(PingSettings { limit: poller.timeout, reach: config.agent.reach })),
            clock: clock.clone(),
            interval: poller.host_interval,
            longest_ping_interval: config.poller.longest_ping_interval.max(poller.host_interval),
            id,
        };
        let (agent_poll, container_listing) = Poller {
            db: db.clone(),
            live,
            agent: Arc::new(poll_agents),
            hypervisor: hypervisor.clone(),
            clock: clock.clone(),
            settings: poller,
            metrics: metrics.clone(),
            id,
        }
        .tasks();
        let stores = || metrics.stores.clone();
        let (streams_end, failpoints) =
            (CancellationToken::new(), Failpoints::parse(config.environment.failpoint.as_deref().unwrap_or_default()));
        let apis = Apis::of(Parts {
            db: db.clone(),
            reads,
            lists: lists.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            client_policy: client_policy(&config.http),
            credentials: Credentials {
                tokens,
                passwords,
                internal: config.tokens.internal.clone(),
                discovery: config.tokens.discovery.clone(),
                bridge: bridge.secret,
            },
            limiter: RateLimiter::new(clock.clone(), Some(lists.connection())),
            probes: vec![Arc::new(DatabaseProbe(db.clone())), Arc::new(RedisProbe(lists.clone()))],
            source: wiring::artifacts(&config.catalog)?,
            catalog_refresh: config.catalog.refresh,
            freshness,
            allowances: allowances(&config.limits),
            hypervisor,
            agent: Arc::new(agents),
            publisher: publishers.background,
            stream_limits: STREAM_LIMITS,
            streams_end: streams_end.clone(),
            failpoints: failpoints.clone(),
        });
        let tasks: Vec<Box<dyn Task>> = vec![
            Box::new(CatalogRefresh(apis.catalog.clone())),
            Box::new(agent_poll),
            Box::new(container_listing),
            Box::new(watch.task()),
            Box::new(DatabaseGauges { db: db.clone(), clock: clock.clone(), metrics: stores() }),
            Box::new(RedisGauges { lists, clock: clock.clone(), metrics: stores() }),
            Box::new(Retention { db, clock: clock.clone(), metrics: stores(), kept: config.retention }),
        ];
        let options =
            ServeOptions { connections_per_address: config.http.connections_per_address, ..ServeOptions::default() };
        Ok(Self { listener, apis, options, tasks, metrics, clock, failpoints, streams_end })
    }

    /// Serves until `stop` fires, then finishes open requests within the drain timeout. If a task ends before `stop`
    /// fires, the API stops too, and the error names the task.
    pub(super) async fn run_until(self, stop: CancellationToken) -> anyhow::Result<()> {
        let Self { listener, apis, options, tasks, metrics, clock, failpoints, streams_end } = self;
        let address = listener.local_addr().context("cannot read the address of the listener")?;
        tracing::info!(%address, "the API listens on {address}");
        let mut runner = Runner::new(stop.clone(), &metrics, clock);
        background::add_all(&mut runner, tasks, &failpoints);
        let stopped = stop.clone();
        runner.supervise(TaskName::of("event-streams"), async move {
            stopped.cancelled().await;
            // Open streams would block the drain.
            streams_end.cancel();
            Ok(())
        });
        runner.supervise(TaskName::of("http-server"), async move {
            router::serve(listener, apis, options, stop).await.context("the HTTP server failed")
        });
        Ok(runner.run().await?)
    }
}

fn poller_settings(config: &ServeConfig) -> PollerSettings {
    PollerSettings {
        interval: config.poller.interval,
        longest_interval: config.poller.longest_interval,
        timeout: config.poller.timeout,
        concurrency: config.poller.concurrency,
        // Proxmox refreshes its figures every ten seconds, so asking it as often as the agents would yield nothing new.
        host_interval: config.poller.interval * 2,
    }
}

fn client_policy(config: &HttpConfig) -> ClientPolicy {
    ClientPolicy {
        trusted_proxies: TrustedProxies::from(config.trusted_proxies.clone()),
        origins: AllowedOrigins::new(config.cors_origins.iter().cloned()),
    }
}

fn allowances(config: &LimitsConfig) -> Allowances {
    Allowances {
        quota: Quota { servers: config.servers, memory_mib: config.total_memory_mib },
        limits: ServerLimits {
            memory_mib: (config.min_memory_mib, config.max_memory_mib),
            cpu_cores: (config.min_cpu_cores, config.max_cpu_cores),
        },
    }
}

/// Whether the Redis primary answers. A replica answers reads but accepts no work.
struct RedisProbe(Lists);

#[async_trait]
impl Probe for RedisProbe {
    fn name(&self) -> &'static str {
        "redis"
    }

    /// Accepted work is in the database; without Redis it only starts later.
    fn is_vital(&self) -> bool {
        false
    }

    async fn answers(&self) -> bool {
        let answer = self.0.connection().require_primary().await;
        if let Err(error) = &answer {
            tracing::debug!(%error, "Redis is not usable: {error}");
        }
        answer.is_ok()
    }
}
