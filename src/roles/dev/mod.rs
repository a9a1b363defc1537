//! `zpack dev`: the whole company in one process on one machine, like `nomad agent -dev`.
//!
//! A private Redis, SQLite, the simulated world and the roles, all in one data directory that survives a restart and
//! belongs to one process at a time. `zpack.env` in it has every setting, so that any other command can connect.

mod credentials;
mod data_dir;
mod environment;
mod ready;
mod redis;
mod stale;
mod users;

use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;
use url::Url;

use self::credentials::Credentials;
use self::data_dir::DataDir;
use self::environment::{DevEnvironment, Places};
use self::ready::{Guide, Ready};
use self::redis::PrivateRedis;
use super::listen::listen;
use super::output::Output;
use super::settings::{colours, is_production};
use super::{serve, signals, sim, wiring, worker};
use crate::background::{Runner, TaskName};
use crate::cli::{DevArgs, DevRole};
use crate::config::{DatabaseConfig, MapSource, ServeConfig, Settings, Source, WorkerConfig};
use crate::db;
use crate::kernel::Clock;
use crate::sim::traefik::Provider;
use crate::sim::velocity::CallbackSettings;
use crate::sim::{SimConfig, World};
use crate::telemetry::Metrics;

/// The templates of the simulated nodes.
const TEMPLATES: &str = "9000,9001";
const ENV_FILE: &str = "zpack.env";

/// The arguments of a start, and what it found.
struct Start {
    args: DevArgs,
    dir: DataDir,
    credentials: Credentials,
    new_credentials: bool,
    output: Output,
}

/// Runs the company until a signal comes. `shell` may tune it, but cannot point it to other stores or peers.
pub async fn run(shell: &dyn Source, args: DevArgs, output: Output) -> anyhow::Result<()> {
    if is_production(shell) {
        bail!(
            "zpack dev does not run with ZPACK_ENV=production; the roles of production are zpack serve and zpack worker"
        );
    }
    redis::require_installed(shell.var("PATH")?.as_deref())?;
    let stop = signals::stop_token()?;
    let dir = DataDir::open(&args.data_dir)?;
    let (credentials, new_credentials) = Credentials::load_or_make(&dir)?;
    let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, args.port)), "--port")?;
    let control = SocketAddr::from((Ipv4Addr::LOCALHOST, args.sim_port));
    let world = SimConfig {
        control,
        state_file: Some(dir.file("sim.json")),
        time_scale: args.time_scale,
        ..SimConfig::default()
    };
    let world = sim::start(world, "--sim-port").await?;
    let start = Start { args, dir, credentials, new_credentials, output };
    let lived = with_redis(&start, &world, listener, shell, &stop).await;
    let ended = world.shutdown().await.context("the simulated world did not stop cleanly");
    lived.and(ended)
}

async fn with_redis(
    start: &Start,
    world: &World,
    listener: TcpListener,
    shell: &dyn Source,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let redis = PrivateRedis::start(&start.dir, &start.credentials.redis_password).await?;
    let lived = company(start, world, redis.url(), listener, shell, stop).await;
    redis.stop().await;
    lived
}

async fn company(
    start: &Start,
    world: &World,
    redis: &str,
    listener: TcpListener,
    shell: &dyn Source,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let port = listener.local_addr().context("the listener has no address")?.port();
    let places = Places {
        database: format!("sqlite://{}", start.dir.file("zpack.db").display()),
        redis: redis.to_owned(),
        port,
        sim: world.control_url(),
        proxmox: world.peer_url("proxmox").unwrap_or_default(),
        proxmox_token: world.proxmox_token(),
        templates: TEMPLATES.to_owned(),
        artifacts: world.artifacts_url(),
        agent_port: world.agent_port(),
        agent_token: world.agent_token().to_owned(),
        velocity: world.velocity_url(),
        velocity_secret: world.velocity().secret(),
        velocity_port: world.velocity().game_address().port(),
        cloudflare: world.cloudflare_url(),
        cloudflare_token: world.cloudflare().token(),
        cloudflare_zone: world.cloudflare().zone_id(),
        technitium: world.technitium_url(),
        technitium_token: world.technitium().token(),
    };
    let environment = DevEnvironment::new(&places, &start.credentials, start.args.time_scale, shell);
    start.dir.write_private(ENV_FILE, &environment.file())?;
    let source = environment.source();
    prepare_database(start, &source).await?;
    let roles = start_roles(&start.args.roles, &source, listener, stop.child_token()).await?;
    connect_peers(world, port, &start.credentials.internal_token)?;
    let ready = Ready::new(format!("http://127.0.0.1:{port}"), world.control_url(), &start.credentials);
    let guide = Guide {
        program: &std::env::args().next().unwrap_or_else(|| "zpack".to_owned()),
        data_dir: &start.args.data_dir.display().to_string(),
        env_file: &start.args.data_dir.join(ENV_FILE).display().to_string(),
        colours: std::io::stdout().is_terminal() && colours(shell),
    };
    start.output.print(&ready, |ready| ready.human(&guide))?;
    // As under systemd: what ends a role ends the company, with an error that names it.
    Ok(roles.run().await?)
}

/// Configures where the simulated proxy sends its callbacks and where the simulated Traefik polls.
fn connect_peers(world: &World, port: u16, internal_token: &str) -> anyhow::Result<()> {
    let url = |path: &str| Url::parse(&format!("http://127.0.0.1:{port}{path}")).context("the API has no address");
    let token = || Some(internal_token.to_owned());
    let callbacks = CallbackSettings {
        url: Some(url("/internal/velocity/proxy-status")?),
        token: token(),
        ..world.velocity().callbacks()
    };
    world.velocity().call_back(callbacks);
    world.traefik().poll(Provider { url: Some(url("/internal/traefik/config")?), token: token(), interval_ms: None });
    Ok(())
}

async fn prepare_database(start: &Start, source: &MapSource) -> anyhow::Result<()> {
    let db = wiring::any_database(&DatabaseConfig::load(source)?).await?;
    db::migrate::up(&db).await.context("the schema could not be brought up to date")?;
    let now = db::now(&db).await.context("the time of the database could not be read")?;
    users::ensure(&db, &start.credentials.users, start.new_credentials, now).await?;
    db.close().await.context("the database did not close")
}

/// Connects the roles; they begin when the runner does, and end with the first of them or when `stop` fires.
async fn start_roles(
    wanted: &[DevRole],
    source: &MapSource,
    listener: TcpListener,
    stop: CancellationToken,
) -> anyhow::Result<Runner> {
    // One process has one registry: `GET /metrics` shows what all its roles count.
    let metrics = Metrics::default();
    let clock = Clock::System;
    let mut roles = Runner::new(stop.clone(), &metrics, clock.clone());
    let role = |name| TaskName::of("role").about(name);
    if wanted.contains(&DevRole::Serve) {
        let api = serve::Api::connect(&ServeConfig::load(source)?, listener, metrics.clone(), clock.clone()).await?;
        roles.supervise(role("serve"), api.run_until(stop.child_token()));
    }
    if wanted.contains(&DevRole::Provision) {
        let config = WorkerConfig::load(source)?;
        let db = wiring::database(&config.database).await?;
        let worker = worker::provision(&config, db, &metrics, &clock).await?;
        let stop = stop.child_token();
        let runner = Runner::new(stop.clone(), &metrics, clock);
        roles.supervise(role("provision"), worker::run_until(worker, runner, stop));
    }
    Ok(roles)
}
