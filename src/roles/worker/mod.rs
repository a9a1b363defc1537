//! `zpack worker`: runs the jobs of queues until a signal arrives and the drain is over.
//!
//! Each queue has a file with its registry and its background tasks: [`mod@provision`] creates servers, [`host`] works
//! on existing ones. A new job adds its line to one of them; a new worker adds a file.

pub mod host;
mod parts;
mod preflight;
pub mod provision;
mod settings;

use std::net::TcpListener;
use std::sync::Arc;

use anyhow::Context;
use futures_util::FutureExt;
use sea_orm::{DatabaseConnection, DbErr};
use tokio_util::sync::CancellationToken;

pub use self::parts::WorkerParts;
use super::listen::listen;
use super::{background, notify, signals, wiring};
use crate::background::{Runner, Task, TaskName};
use crate::cli::WorkerCommand;
use crate::config::{DatabaseConfig, Settings, Source, WorkerConfig};
use crate::db::{self, ConnectError};
use crate::jobs::{Failpoints, JobSettings, Lane, Registry, Worker, WorkerDeps};
use crate::kernel::{Clock, Secret, WorkerId};
use crate::router::{self, MetricsApi};
use crate::telemetry::Metrics;

/// Runs the worker of one queue until a signal arrives.
pub async fn run(source: &dyn Source, queue: WorkerCommand) -> anyhow::Result<()> {
    match queue {
        WorkerCommand::Provision => {
            let config = WorkerConfig::load(source)?;
            let stop = signals::stop_token()?;
            let metrics = Metrics::default();
            let listener = config.metrics.listen.map(|address| listen(address, "METRICS_LISTEN")).transpose()?;
            let db = wiring::database(&config.database).await?;
            let clock = Clock::System;
            let worker = provision(&config, db.clone(), &metrics, &clock).await?;
            let mut runner = Runner::new(stop.clone(), &metrics, clock);
            if let Some(listener) = listener {
                let (api, token) = (MetricsApi { metrics, db }, config.metrics.token.clone());
                runner.supervise(TaskName::of("metrics-listener"), show(listener, api, token, stop.clone()));
            }
            notify::ready(&stop);
            run_until(worker, runner, stop).await
        }
    }
}

/// Everything that `zpack worker provision` runs, connected and ready.
pub(super) struct ProvisionRole {
    workers: Vec<Worker>,
    tasks: Vec<Box<dyn Task>>,
    failpoints: Failpoints,
}

/// Connects the role.
pub(super) async fn provision(
    config: &WorkerConfig,
    db: DatabaseConnection,
    metrics: &Metrics,
    clock: &Clock,
) -> anyhow::Result<ProvisionRole> {
    preflight::report(
        wiring::preflight(&config.proxmox, clock)?,
        wiring::order_needs(&config.proxmox, &config.provision),
    );
    let lists = wiring::redis(&config.redis)?;
    let parts = WorkerParts::connect(config, db, &lists, clock)?;
    let failpoints = Failpoints::parse(config.environment.failpoint.as_deref().unwrap_or_default());
    let worker = |registry: Registry, settings: JobSettings| {
        let queue = registry.queue();
        Worker::new(WorkerDeps {
            lane: Lane {
                queue,
                worker: WorkerId::generate(),
                lists: lists.clone(),
                block: config.jobs.block,
                metrics: metrics.jobs(queue.as_str()),
            },
            db: parts.db.clone(),
            connect: renewer_connection(&config.database),
            registry,
            settings,
            clock: clock.clone(),
            failpoints: failpoints.clone(),
        })
    };
    let workers = vec![
        worker(provision::jobs(&parts)?, settings::provision_jobs(&config.jobs, &config.provision)),
        worker(host::jobs(&parts)?, settings::host_jobs(&config.jobs, &config.provision)),
    ];
    Ok(ProvisionRole { workers, tasks: host::tasks(&parts), failpoints })
}

/// Runs until `stop` fires and both queues are drained. When one part of the role ends before that, the others end too:
/// a worker that does half of its work is worse than one that is restarted.
pub(super) async fn run_until(role: ProvisionRole, mut runner: Runner, stop: CancellationToken) -> anyhow::Result<()> {
    let ProvisionRole { workers, tasks, failpoints } = role;
    background::add_all(&mut runner, tasks, &failpoints);
    for worker in workers {
        let (name, stop) = (TaskName::of("queue-worker").about(worker.queue().as_str()), stop.clone());
        runner.supervise(name, async move { Ok(worker.run(stop).await?) });
    }
    Ok(runner.run().await?)
}

/// Serves the metrics of the worker.
async fn show(
    listener: TcpListener,
    api: MetricsApi,
    token: Option<Secret>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let address = listener.local_addr().context("cannot read the address of the metrics listener")?;
    tracing::info!(%address, "metrics are served on {address}");
    router::serve_metrics(listener, api, token, stop).await.context("the metrics listener failed")
}

/// How the thread that renews leases opens its single connection.
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
