//! Creates connections and adapters from settings. Each role takes what it needs from here and nothing more.

use std::sync::Arc;

use anyhow::Context;
use redis::RedisConnectionInfo;
use sea_orm::DatabaseConnection;

use crate::adapters::agent::{AgentSettings, Agents};
use crate::adapters::artifacts::{ArtifactSettings, ArtifactStore};
use crate::adapters::cloudflare::{Cloudflare, CloudflareSettings};
use crate::adapters::proxmox::{Cloning, Deadlines, Endpoint, Proxmox, ProxmoxSettings};
use crate::adapters::technitium::{Technitium, TechnitiumSettings};
use crate::adapters::tls::TlsVerify;
use crate::adapters::velocity::{BridgeProof, Velocity, VelocitySettings};
use crate::config::{
    AgentConfig, CatalogConfig, DatabaseConfig, DatabaseKind, DnsConfig, LeaseConfig, ProvisionConfig, ProxmoxConfig,
    RedisConfig, RedisTarget, TlsTrust, VelocityConfig, ZoneConfig,
};
use crate::db::{self, Division, Reads, RedisLocation, RedisPool};
use crate::edge::EdgePolicy;
use crate::jobs::Lists;
use crate::kernel::Clock;
use crate::lease::LeaseSettings;
use crate::observe::router_polls::StoredPolls;
use crate::ports::{
    BridgeSecret, CatalogSource, DnsZone, GameProxy, Hypervisor, NodeName, OrderNeeds, Preflight, RouterPolls,
};
use crate::publishing::{Peers, Publisher, Targets};

/// The connection pool of the process, on a database whose schema is up to date.
pub async fn database(config: &DatabaseConfig) -> anyhow::Result<DatabaseConnection> {
    let db = any_database(config).await?;
    db::migrate::require_current(&db).await?;
    Ok(db)
}

/// The connections of a process that answers requests, divided between its pool and the threads of its server.
pub async fn reading_database(config: &DatabaseConfig) -> anyhow::Result<(DatabaseConnection, Reads)> {
    let threads = std::thread::available_parallelism().map_or(1, |threads| u32::try_from(threads.get()).unwrap_or(1));
    let division = match config.kind {
        DatabaseKind::Postgres => Division::of(config.max_connections, threads),
        DatabaseKind::Sqlite | DatabaseKind::MariaDb => Division::undivided(config.max_connections),
    };
    let db = database(&DatabaseConfig { max_connections: division.pool, ..config.clone() }).await?;
    Ok((db.clone(), Reads::new(db, division)))
}

/// The connection pool of a process that accepts the schema as it is.
pub async fn any_database(config: &DatabaseConfig) -> anyhow::Result<DatabaseConnection> {
    db::connect(&config.url, config.max_connections).await.context("cannot connect to the database (DATABASE_URL)")
}

/// The lists in Redis, over the connections of the process. Nothing connects yet, so Redis need not be running.
pub fn redis(config: &RedisConfig) -> anyhow::Result<Lists> {
    let location = match &config.target {
        RedisTarget::Direct { url } => RedisLocation::at(url.expose()),
        RedisTarget::Sentinel { sentinels, service, username, password, db } => {
            let mut login = RedisConnectionInfo::default().set_db(*db);
            if let Some(username) = username {
                login = login.set_username(username);
            }
            if let Some(password) = password {
                login = login.set_password(password.expose());
            }
            RedisLocation::behind(sentinels, service, login)
        }
    };
    let location = location.context("REDIS_URL cannot be used")?;
    Ok(Lists::new(RedisPool::new(location, config.response_timeout)))
}

/// The Proxmox cluster.
pub fn hypervisor(config: &ProxmoxConfig, clock: &Clock) -> anyhow::Result<Arc<dyn Hypervisor>> {
    Ok(Arc::new(proxmox(config, clock)?))
}

/// Looks at what orders need of the Proxmox cluster.
pub fn preflight(config: &ProxmoxConfig, clock: &Clock) -> anyhow::Result<Arc<dyn Preflight>> {
    Ok(Arc::new(proxmox(config, clock)?))
}

/// What orders need of the Proxmox cluster with these settings.
pub fn order_needs(proxmox: &ProxmoxConfig, provision: &ProvisionConfig) -> OrderNeeds {
    OrderNeeds {
        templates: proxmox.templates.clone(),
        vmids: [provision.game_vmids, provision.dev_vmids].map(|range| range.first).to_vec(),
        only_node: proxmox.node.as_deref().map(NodeName::new),
        pool: proxmox.pool.clone(),
        bridges: vec![provision.game_bridge.clone(), provision.dev_bridge.clone()],
    }
}

fn proxmox(config: &ProxmoxConfig, clock: &Clock) -> anyhow::Result<Proxmox> {
    let tls = match &config.tls {
        TlsTrust::PublicAuthorities => TlsVerify::SystemRoots,
        TlsTrust::Authority(path) => {
            let pem = std::fs::read_to_string(path);
            TlsVerify::Authority(
                pem.with_context(|| format!("cannot read the CA file {} (PROXMOX_VERIFY_TLS)", path.display()))?,
            )
        }
        TlsTrust::Fingerprints(prints) => {
            let prints: Result<_, _> = prints.iter().map(|print| hex::encode(print).parse()).collect();
            TlsVerify::Fingerprints(prints.context("PROXMOX_VERIFY_TLS cannot be used")?)
        }
        TlsTrust::Unchecked => TlsVerify::Off,
    };
    let defaults = Deadlines::default();
    let limit = config.request_timeout;
    let settings = ProxmoxSettings {
        endpoints: config.endpoints.iter().map(|base| Endpoint { base: base.clone(), node: None }).collect(),
        token: config.api_token.clone(),
        tls,
        cloning: match &config.storage {
            Some(storage) => Cloning::Full { storage: Some(storage.clone()) },
            None => Cloning::Linked,
        },
        deadlines: Deadlines {
            connect: defaults.connect.min(limit / 2),
            read: defaults.read.min(limit),
            remote_read: defaults.remote_read.min(limit),
            change: limit,
            ..defaults
        },
        reach: config.reach,
    };
    Proxmox::new(&settings, clock.clone()).context("cannot create the Proxmox client (PROXMOX_HOST)")
}

/// The client of all agents.
pub fn agents(config: &AgentConfig, clock: &Clock) -> anyhow::Result<Agents> {
    let AgentConfig { port, token, request_timeout: timeout, reach } = config.clone();
    let settings = AgentSettings { port, token, timeout, cool_down: AgentSettings::COOL_DOWN, reach };
    Agents::new(settings, clock.clone()).context("cannot create the client of the agents")
}

/// The artifact server.
pub fn artifacts(config: &CatalogConfig) -> anyhow::Result<Arc<dyn CatalogSource>> {
    let settings = ArtifactSettings { base_url: config.base_url.clone(), reach: config.reach };
    Ok(Arc::new(ArtifactStore::new(&settings).context("cannot create the client of the artifact server")?))
}

/// The two sides of the bridge in the game proxy, each if it is configured.
pub struct Bridge {
    /// Our calls to it.
    pub proxy: Option<Arc<dyn GameProxy>>,
    /// The secret that its callbacks are checked against.
    pub secret: Option<Arc<dyn BridgeSecret>>,
}

/// The game proxy. Both directions share one secret: when either finds a new one in its file, both use it.
pub fn game_proxy(config: &VelocityConfig, clock: &Clock) -> anyhow::Result<Bridge> {
    let Some(bridge) = &config.bridge else {
        let proof = |secret| Arc::new(BridgeProof::new(secret, clock.clone())) as Arc<dyn BridgeSecret>;
        return Ok(Bridge { proxy: None, secret: config.secret.clone().map(proof) });
    };
    let settings = VelocitySettings {
        base_url: bridge.url.clone(),
        secret: bridge.secret.clone(),
        timeout: config.request_timeout,
        cool_down: VelocitySettings::COOL_DOWN,
        reach: config.reach,
    };
    let client = Velocity::new(&settings, clock.clone());
    let client = client.context("cannot create the Velocity client (VELOCITY_URL)")?;
    Ok(Bridge { secret: Some(Arc::new(client.proof(clock.clone()))), proxy: Some(Arc::new(client)) })
}

/// Publishers over the same targets, for jobs and for background tasks.
pub struct Publishers {
    /// For jobs that a customer waits for.
    pub publisher: Publisher,
    /// For background tasks: it leaves a part of every rate limit to the other.
    pub background: Publisher,
}

/// The zone at Cloudflare, if one is configured.
pub fn cloudflare(zone: &ZoneConfig, dns: &DnsConfig, clock: &Clock) -> anyhow::Result<Option<Cloudflare>> {
    let (Some(config), Some(zone)) = (&dns.cloudflare, &zone.zone) else { return Ok(None) };
    let settings = CloudflareSettings {
        base_url: config.url.clone(),
        token: config.token.clone(),
        zone_id: config.zone_id.clone(),
        zone: zone.clone(),
        timeout: dns.request_timeout,
        cool_down: CloudflareSettings::COOL_DOWN,
        reach: dns.reach,
    };
    let client = Cloudflare::new(settings, clock.clone());
    Ok(Some(client.context("cannot create the Cloudflare client (CLOUDFLARE_API_URL)")?))
}

/// The zone at Technitium, if one is configured.
pub fn technitium(zone: &ZoneConfig, dns: &DnsConfig, clock: &Clock) -> anyhow::Result<Option<Arc<dyn DnsZone>>> {
    let (Some(config), Some(zone)) = (&dns.technitium, &zone.zone) else { return Ok(None) };
    let settings = TechnitiumSettings {
        base_url: config.url.clone(),
        token: config.token.clone(),
        zone: zone.clone(),
        timeout: dns.request_timeout,
        cool_down: TechnitiumSettings::COOL_DOWN,
        reach: dns.reach,
    };
    let client = Technitium::new(settings, clock.clone());
    Ok(Some(Arc::new(client.context("cannot create the Technitium client (TECHNITIUM_API_URL)")?)))
}

/// The edge targets that are configured, and the policy.
pub fn publishers(
    zone: &ZoneConfig,
    velocity: &VelocityConfig,
    proxy: Option<Arc<dyn GameProxy>>,
    dns: &DnsConfig,
    polls: StoredPolls,
    db: DatabaseConnection,
    clock: &Clock,
) -> anyhow::Result<Publishers> {
    let cloudflare = cloudflare(zone, dns, clock)?;
    let router: (Arc<dyn RouterPolls>, Clock) = (Arc::new(polls), clock.clone());
    let technitium = technitium(zone, dns, clock)?;
    let shared = Peers { velocity: proxy, technitium, cloudflare: None, router: Some(router) };
    let with = |cloudflare: Option<Cloudflare>| {
        let cloudflare = cloudflare.map(|client| Arc::new(client) as Arc<dyn DnsZone>);
        Targets::from(Peers { cloudflare, ..shared.clone() })
    };
    let background = with(cloudflare.as_ref().map(Cloudflare::in_background));
    let policy = EdgePolicy {
        zone: zone.zone.clone(),
        proxy_ip: velocity.edge_ip,
        public_ip: dns.public_ip,
        proxy_port: velocity.edge_port,
        ide_suffix: zone.ide_suffix.clone(),
        ..EdgePolicy::default()
    };
    Ok(Publishers {
        background: Publisher::new(db.clone(), background, policy.clone(), clock.clone()),
        publisher: Publisher::new(db, with(cloudflare), policy, clock.clone()),
    })
}

/// The timing of a lease.
pub fn lease(config: &LeaseConfig) -> LeaseSettings {
    let LeaseConfig { ttl, renew, retry, takeover } = *config;
    LeaseSettings { ttl, renew, retry, takeover, ..LeaseSettings::default() }
}
