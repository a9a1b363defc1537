//! `zpack worker provision`: makes servers, one job after another, and works on those there are in a lane of its own, until a
//! signal comes and the drain is over. Beside both it finishes publications, settles debts and sweeps the zones.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::FutureExt;
use sea_orm::{DatabaseConnection, DbErr};
use tokio_util::sync::CancellationToken;

use super::listen::listen;
use super::wiring::Publishers;
use super::{background, notify, signals, wiring};
use crate::background::{Runner, Task, TaskName};
use crate::cli::WorkerCommand;
use crate::config::{DatabaseConfig, Settings, Source, WorkerConfig};
use crate::db::{self, ConnectError};
use crate::jobs::{Failpoints, JobSettings, Lane, Queue, Registry, Worker, WorkerDeps};
use crate::kernel::{Clock, Secret, WorkerId};
use crate::ports::Agent;
use crate::power::{PowerDeps, PowerJob};
use crate::provision::{ProvisionDeps, ProvisionJob};
use crate::publishing::{PublishJob, Reconciler};
use crate::router::{self, MetricsApi};
use crate::teardown::{Collector, OrphanSweep, SweepDeps, TeardownDeps, TeardownJob};
use crate::telemetry::Metrics;

/// Runs the worker of one queue until a signal comes.
pub async fn run(source: &dyn Source, queue: WorkerCommand) -> anyhow::Result<()> {
    match queue {
        WorkerCommand::Provision => {
            let config = WorkerConfig::load(source)?;
            let stop = signals::stop_token()?;
            let metrics = Metrics::default();
            let listener = config.metrics.listen.map(|address| listen(address, "METRICS_LISTEN")).transpose()?;
            let db = wiring::database(&config.database).await?;
            let worker = provision(&config, db.clone(), &metrics).await?;
            let mut runner = Runner::new(stop.clone(), &metrics, Clock::System);
            if let Some(listener) = listener {
                let (api, token) = (MetricsApi { metrics, db }, config.metrics.token.clone());
                runner.keep(TaskName::of("metrics-listener"), show(listener, api, token, stop.clone()));
            }
            notify::ready(&stop);
            run_until(worker, runner, stop).await
        }
    }
}

/// How often publications that are not finished are looked for: a customer may be waiting.
const EDGE_INTERVAL: Duration = Duration::from_secs(1);
/// How often debts that are due are looked for; their waits begin at half a minute.
const DEBT_INTERVAL: Duration = Duration::from_secs(10);

/// Everything `zpack worker provision` does, connected and ready to run.
pub(super) struct ProvisionRole {
    provision: Worker,
    host: Worker,
    tasks: Vec<Box<dyn Task>>,
    failpoints: Failpoints,
}

/// Connects the role.
pub(super) async fn provision(
    config: &WorkerConfig,
    db: DatabaseConnection,
    metrics: &Metrics,
) -> anyhow::Result<ProvisionRole> {
    let proxy = wiring::game_proxy(&config.velocity)?.proxy;
    let Publishers { publisher, background } =
        wiring::publishers(&config.zone, &config.velocity, proxy, &config.dns, db.clone())?;
    let policy = wiring::provision_policy(config);
    let (redis, lists) = wiring::redis(&config.redis).await?;
    let failpoints = Failpoints::parse(config.environment.failpoint.as_deref().unwrap_or_default());
    let lock_poll = policy.timings.container.task_poll;
    let hypervisor = wiring::hypervisor(&config.proxmox)?;
    let agent: Arc<dyn Agent> = Arc::new(wiring::agents(&config.agent)?);
    let teardown = TeardownDeps {
        db: db.clone(),
        hypervisor: hypervisor.clone(),
        targets: publisher.targets.clone(),
        timings: wiring::teardown_timings(&policy.timings.container),
        lock_poll,
        clock: Clock::System,
    };
    let host = Registry::for_queue(Queue::Host)
        .with(Arc::new(PublishJob::new(publisher.clone(), lock_poll)))?
        .with(Arc::new(TeardownJob::new(teardown.clone())))?
        .with(Arc::new(PowerJob::new(PowerDeps {
            db: db.clone(),
            hypervisor: hypervisor.clone(),
            agent: agent.clone(),
            timings: policy.timings.container,
            grace: config.provision.stop_grace,
            clock: Clock::System,
        })))?;
    let collector =
        Collector { deps: TeardownDeps { targets: background.targets.clone(), ..teardown }, interval: DEBT_INTERVAL };
    let sweep = OrphanSweep::new(SweepDeps {
        db: db.clone(),
        hypervisor: hypervisor.clone(),
        targets: background.targets.clone(),
        zone: config.zone.zone.clone(),
    });
    let provision =
        Registry::for_queue(Queue::Provision).with(Arc::new(ProvisionJob::new(Arc::new(ProvisionDeps {
            db: db.clone(),
            hypervisor,
            agent,
            publisher,
            clock: Clock::System,
            policy,
        }))))?;
    let worker = |registry: Registry, settings: JobSettings| {
        let queue = registry.queue();
        Worker::new(WorkerDeps {
            lane: Lane {
                queue,
                worker: WorkerId::generate(),
                redis: redis.clone(),
                lists: lists.clone(),
                block: config.jobs.block,
                metrics: metrics.jobs(queue.as_str()),
            },
            db: db.clone(),
            connect: renewer_connection(&config.database),
            registry,
            settings,
            clock: Clock::System,
            failpoints: failpoints.clone(),
        })
    };
    Ok(ProvisionRole {
        provision: worker(provision, wiring::provision_jobs(&config.jobs, &config.provision)),
        host: worker(host, wiring::host_jobs(&config.jobs, &config.provision)),
        tasks: vec![
            Box::new(Reconciler { publisher: background, interval: EDGE_INTERVAL }),
            Box::new(collector),
            Box::new(sweep),
        ],
        failpoints,
    })
}

/// Works until `stop` fires and the drains of both queues are over. When one part of the role ends before that, the others
/// end too: a worker that does half of its work is worse than one that is restarted.
pub(super) async fn run_until(role: ProvisionRole, mut runner: Runner, stop: CancellationToken) -> anyhow::Result<()> {
    let ProvisionRole { provision, host, tasks, failpoints } = role;
    background::add_all(&mut runner, tasks, &failpoints);
    for (queue, worker) in [(Queue::Provision, provision), (Queue::Host, host)] {
        let stop = stop.clone();
        runner.keep(TaskName::of("queue-worker").about(queue.as_str()), async move { Ok(worker.run(stop).await?) });
    }
    Ok(runner.run().await?)
}

/// Shows what the worker counts.
async fn show(
    listener: TcpListener,
    api: MetricsApi,
    token: Option<Secret>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let address = listener.local_addr().context("the listener of the metrics has no address")?;
    tracing::info!(%address, "metrics are shown on {address}");
    router::serve_metrics(listener, api, token, stop).await.context("the listener of the metrics failed")
}

/// How the thread that renews leases opens its one connection.
fn renewer_connection(
    config: &DatabaseConfig,
) -> Arc<dyn Fn() -> futures_util::future::BoxFuture<'static, Result<DatabaseConnection, DbErr>> + Send + Sync> {
    let url = config.url.clone();
    Arc::new(move || {
        let url = url.clone();
        async move {
            db::connect(&url, 1).await.map_err(|error| match error {
                ConnectError::Unreachable { source, .. } => source,
                error @ ConnectError::Scheme => DbErr::Custom(error.to_string()),
            })
        }
        .boxed()
    })
}
