//! The checks of each peer. They change nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use sea_orm::DatabaseConnection;

use super::check::{Check, chain};
use crate::config::{
    AgentConfig, CatalogConfig, DatabaseConfig, DatabaseKind, ProvisionConfig, ProxmoxConfig, RedisConfig,
};
use crate::db;
use crate::db::migrate::{self, MigrationState};
use crate::jobs::{Lists, Queue, RequirementError, check_redis};
use crate::kernel::{Classify, Clock, Failure, VmId};
use crate::ports::{Agent, CatalogError, Fetched, Hypervisor, HypervisorError, MissingKind};
use crate::roles::wiring;
use crate::servers::store;

/// The maximum number of agents that are asked.
const SAMPLE: u64 = 20;
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

pub(super) async fn database(config: DatabaseConfig) -> Vec<Check> {
    const NAME: &str = "database";
    if let (DatabaseKind::Sqlite, Some(path)) = (config.kind, sqlite_path(config.url.expose()))
        && !std::path::Path::new(path).exists()
    {
        return vec![Check::fail(NAME, format!("the file {path} does not exist"), "create it: zpack migrate up")];
    }
    let db = match connect(&config).await {
        Ok(db) => db,
        Err(detail) => return vec![Check::fail(NAME, detail, "start the database, or correct DATABASE_URL")],
    };
    let kind = match config.kind {
        DatabaseKind::Sqlite => "SQLite",
        DatabaseKind::Postgres => "PostgreSQL",
        DatabaseKind::MariaDb => "MariaDB",
    };
    vec![Check::pass(NAME, format!("{kind} answers")), schema(&db).await]
}

async fn schema(db: &DatabaseConnection) -> Check {
    const NAME: &str = "schema";
    let status = match migrate::status(db).await {
        Ok(status) => status,
        Err(error) => return Check::fail(NAME, chain(&error), "see zpack migrate status"),
    };
    let names = |wanted: MigrationState| {
        let names: Vec<&str> =
            status.iter().filter(|line| line.state == wanted).map(|line| line.name.as_str()).collect();
        names.join(", ")
    };
    let (pending, unknown) = (names(MigrationState::Pending), names(MigrationState::Unknown));
    if !unknown.is_empty() {
        return Check::fail(NAME, format!("a newer zpack applied {unknown}"), "run that version, or a newer one");
    }
    if pending.is_empty() {
        return Check::pass(NAME, format!("all {} migrations are applied", status.len()));
    }
    Check::fail(NAME, format!("not applied: {pending}"), "apply them: zpack migrate up")
}

/// Opens one connection. A driver that keeps retrying must not use up the time of the whole check.
pub(super) async fn connect(config: &DatabaseConfig) -> Result<DatabaseConnection, String> {
    match tokio::time::timeout(CONNECT_LIMIT, db::connect(&config.url, 1)).await {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => Err(format!("no connection within {} s", CONNECT_LIMIT.as_secs())),
    }
}

fn sqlite_path(url: &str) -> Option<&str> {
    url.strip_prefix("sqlite:")?.trim_start_matches("//").split('?').next()
}

pub(super) async fn redis(config: RedisConfig) -> Vec<Check> {
    const NAME: &str = "redis";
    let lists = match wiring::redis(&config) {
        Ok(lists) => lists,
        Err(error) => return vec![Check::fail(NAME, format!("{error:#}"), "correct REDIS_URL")],
    };
    match check_redis(&lists).await {
        Ok(()) => {}
        Err(error @ RequirementError::Eviction { .. }) => {
            return vec![Check::fail(NAME, error.to_string(), "set maxmemory-policy noeviction")];
        }
        Err(error @ RequirementError::Unreachable(_)) => {
            return vec![Check::fail(NAME, chain(&error), "start Redis, or correct REDIS_URL; it must be the primary")];
        }
    }
    let mut checks = vec![Check::pass(NAME, "is the primary and does not evict keys (noeviction)")];
    for queue in Queue::ALL {
        checks.push(workers(&lists, *queue).await);
    }
    checks
}

async fn workers(lists: &Lists, queue: Queue) -> Check {
    match lists.depth(queue).await {
        Ok(depth) if depth.workers > 0 => {
            Check::pass("worker", format!("{queue}: {} live, {} ids waiting", depth.workers, depth.ready))
        }
        Ok(depth) => Check::warn(
            "worker",
            format!("{queue}: none live, {} ids waiting", depth.ready),
            format!("start one: zpack worker {queue}"),
        ),
        Err(error) => Check::fail("worker", chain(&error), "check whether Redis is overloaded"),
    }
}

pub(super) async fn proxmox((config, provision): (ProxmoxConfig, ProvisionConfig)) -> Vec<Check> {
    const NAME: &str = "proxmox";
    let hypervisor = match wiring::hypervisor(&config, &Clock::System) {
        Ok(hypervisor) => hypervisor,
        Err(error) => return vec![Check::fail(NAME, format!("{error:#}"), "correct the PROXMOX_ settings")],
    };
    let version = match hypervisor.version().await {
        Ok(version) => version.version,
        Err(error) => return vec![refused(NAME, &error)],
    };
    let (nodes, templates, orders) = tokio::join!(
        nodes(hypervisor.as_ref(), config.node.as_deref()),
        templates(hypervisor.as_ref(), &config.templates),
        orders(&config, &provision)
    );
    let mut checks = vec![Check::pass(NAME, format!("Proxmox VE {version} accepts the token")), nodes, templates];
    checks.extend(orders);
    checks
}

/// What orders would not find, except the templates, which have a check of their own.
async fn orders(config: &ProxmoxConfig, provision: &ProvisionConfig) -> Vec<Check> {
    const NAME: &str = "orders";
    let preflight = match wiring::preflight(config, &Clock::System) {
        Ok(preflight) => preflight,
        Err(error) => return vec![Check::fail(NAME, format!("{error:#}"), "correct the PROXMOX_ settings")],
    };
    let missing = match preflight.missing(&wiring::order_needs(config, provision)).await {
        Ok(missing) => missing,
        Err(error) => return vec![refused(NAME, &error)],
    };
    let missing = missing.into_iter().filter(|missing| missing.kind != MissingKind::Template);
    let checks: Vec<Check> = missing.map(|missing| Check::fail(NAME, missing.what, missing.remedy)).collect();
    if checks.is_empty() {
        return vec![Check::pass(
            NAME,
            "the token has every right that an order needs; pool, storage and bridges exist",
        )];
    }
    checks
}

async fn nodes(hypervisor: &dyn Hypervisor, wanted: Option<&str>) -> Check {
    const NAME: &str = "nodes";
    let nodes = match hypervisor.nodes().await {
        Ok(nodes) => nodes,
        Err(error) => return refused(NAME, &error),
    };
    let list = |online| {
        let names: Vec<&str> =
            nodes.iter().filter(|node| node.online == online).map(|node| node.name.as_str()).collect();
        names.join(", ")
    };
    let (online, offline) = (list(true), list(false));
    if let Some(wanted) = wanted
        && !nodes.iter().any(|node| node.online && node.name.as_str() == wanted)
    {
        return Check::fail(NAME, format!("PROXMOX_NODE {wanted} is not online; {online} are"), "correct PROXMOX_NODE");
    }
    if online.is_empty() {
        let advice = "grant the token Sys.Audit on /nodes, or bring a node online";
        return Check::fail(NAME, "the token sees no online node", advice);
    }
    if offline.is_empty() {
        return Check::pass(NAME, format!("online: {online}"));
    }
    Check::warn(
        NAME,
        format!("online: {online}; offline: {offline}"),
        "servers on an offline node are unavailable until it returns",
    )
}

async fn templates(hypervisor: &dyn Hypervisor, wanted: &[VmId]) -> Check {
    const NAME: &str = "templates";
    let containers = match hypervisor.containers().await {
        Ok(containers) => containers,
        Err(error) => return refused(NAME, &error),
    };
    let found: BTreeSet<VmId> = containers.iter().filter(|c| c.template).map(|c| c.vmid).collect();
    let missing: Vec<String> = wanted.iter().filter(|vmid| !found.contains(vmid)).map(VmId::to_string).collect();
    if missing.is_empty() {
        let places: Vec<String> = containers
            .iter()
            .filter(|c| c.template && wanted.contains(&c.vmid))
            .map(|c| format!("{} on {}", c.vmid, c.node))
            .collect();
        return Check::pass(NAME, places.join(", "));
    }
    Check::fail(
        NAME,
        format!("AGENT_TEMPLATE_VMID: the token sees no container template {}", missing.join(", ")),
        "correct AGENT_TEMPLATE_VMID, convert the container to a template, or grant the token VM.Audit and VM.Clone on it",
    )
}

fn refused(name: &'static str, error: &HypervisorError) -> Check {
    let advice = match error.failure() {
        Failure::Transient | Failure::Ambiguous => {
            "check that pveproxy is running, and check PROXMOX_HOST and PROXMOX_VERIFY_TLS"
        }
        Failure::NeedsOperator => "check PROXMOX_API_TOKEN and the permissions of that token",
        Failure::Busy | Failure::Permanent => "see the task log of Proxmox",
    };
    Check::fail(name, chain(error), advice)
}

pub(super) async fn artifacts(config: CatalogConfig) -> Vec<Check> {
    const NAME: &str = "artifacts";
    let source = match wiring::artifacts(&config) {
        Ok(source) => source,
        Err(error) => return vec![Check::fail(NAME, format!("{error:#}"), "correct ARTIFACT_BASE_URL")],
    };
    let (games, runtimes) = tokio::join!(source.games(None), source.runtimes(None));
    vec![document(NAME, "games", games), document(NAME, "runtimes", runtimes)]
}

fn document(name: &'static str, what: &str, fetched: Result<Fetched, CatalogError>) -> Check {
    let advice = "start the artifact server, or correct ARTIFACT_BASE_URL";
    match fetched {
        Ok(Fetched::Document { body, .. }) => match serde_json::from_str::<serde_json::Value>(&body) {
            Ok(_) => Check::pass(name, format!("the catalog of {what} is available")),
            Err(error) => Check::fail(name, format!("the catalog of {what} is not JSON: {error}"), advice),
        },
        Ok(Fetched::Unchanged) => Check::fail(
            name,
            format!("the server answered 304 for the catalog of {what}, of which nothing is cached"),
            advice,
        ),
        Err(error) => Check::fail(name, chain(&error), advice),
    }
}

/// Agents come and go with their servers, so one that does not answer is a warning and no failure.
pub(super) async fn agents((database, agent): (DatabaseConfig, AgentConfig)) -> Vec<Check> {
    const NAME: &str = "agents";
    let port = agent.port;
    let token = match &agent.token {
        Some(_) => "a token is set",
        None => "no ZLH_AGENT_TOKEN: requests carry no token",
    };
    let unknown = || {
        vec![Check::warn(
            NAME,
            format!("port {port}, {token}; without the database, no server is known"),
            "fix the database first",
        )]
    };
    let Ok(db) = connect(&database).await else { return unknown() };
    let quick = AgentConfig { request_timeout: Duration::from_secs(2), ..agent };
    let servers = store::list_active(&db, SAMPLE).await;
    let (Ok(servers), Ok(client)) = (servers, wiring::agents(&quick, &Clock::System)) else { return unknown() };
    let endpoints: Vec<_> =
        servers.iter().filter_map(|server| Some((server.vmid, server.address.parse().ok()?))).collect();
    let asked = endpoints.iter().map(|(vmid, at)| {
        let client = client.clone();
        async move { (*vmid, client.health(*at).await.is_ok()) }
    });
    let silent: Vec<String> =
        join_all(asked).await.into_iter().filter(|(_, alive)| !alive).map(|(vmid, _)| vmid.to_string()).collect();
    let asked = endpoints.len();
    if silent.is_empty() {
        return vec![Check::pass(NAME, format!("port {port}, {token}; {asked} asked, all answered"))];
    }
    let detail = format!("port {port}, {token}; {asked} asked, no answer: {}", silent.join(", "));
    vec![Check::warn(
        NAME,
        detail,
        "a stopped server does not answer; for others check ZLH_AGENT_PORT and the route to the server",
    )]
}
