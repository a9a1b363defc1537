//! Makes connections and adapters from settings. Every role takes from here what it needs and nothing more.

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
    AgentConfig, CatalogConfig, DatabaseConfig, DnsConfig, LeaseConfig, ProxmoxConfig, RedisConfig, RedisTarget,
    TlsTrust, VelocityConfig, ZoneConfig,
};
use crate::db::{self, RedisLocation, RedisPool};
use crate::edge::EdgePolicy;
use crate::jobs::Lists;
use crate::kernel::Clock;
use crate::lease::LeaseSettings;
use crate::ports::{BridgeSecret, CatalogSource, DnsZone, GameProxy, Hypervisor};
use crate::publishing::{Peers, Publisher, Targets};

/// The pool of the process, on a database whose schema is up to date.
pub async fn database(config: &DatabaseConfig) -> anyhow::Result<DatabaseConnection> {
    let db = any_database(config).await?;
    db::migrate::require_current(&db).await?;
    Ok(db)
}

/// The pool of a process that takes the schema as it is.
pub async fn any_database(config: &DatabaseConfig) -> anyhow::Result<DatabaseConnection> {
    db::connect(&config.url, config.max_connections).await.context("the database is needed to go on (DATABASE_URL)")
}

/// The lists in Redis, over the connections of the process. Nothing connects yet, and Redis need not be there.
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
    let tls = match &config.tls {
        TlsTrust::PublicAuthorities => TlsVerify::SystemRoots,
        TlsTrust::Authority(path) => {
            let pem = std::fs::read_to_string(path);
            TlsVerify::Authority(pem.with_context(|| {
                format!("cannot read the authority {} that PROXMOX_VERIFY_TLS names", path.display())
            })?)
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
    };
    Ok(Arc::new(
        Proxmox::new(&settings, clock.clone()).context("the client of Proxmox could not be made (PROXMOX_HOST)")?,
    ))
}

/// All agents.
pub fn agents(config: &AgentConfig, clock: &Clock) -> anyhow::Result<Agents> {
    let AgentConfig { port, token, request_timeout: timeout } = config.clone();
    let settings = AgentSettings { port, token, timeout, cool_down: AgentSettings::COOL_DOWN };
    Agents::new(settings, clock.clone()).context("the client of agents could not be made")
}

/// The artifact server.
pub fn artifacts(config: &CatalogConfig) -> anyhow::Result<Arc<dyn CatalogSource>> {
    let settings = ArtifactSettings { base_url: config.base_url.clone() };
    Ok(Arc::new(ArtifactStore::new(&settings).context("the client of the artifact server could not be made")?))
}

/// The bridge in the game proxy, as far as it is configured.
pub struct Bridge {
    /// What we call.
    pub proxy: Option<Arc<dyn GameProxy>>,
    /// What its callbacks are checked with.
    pub secret: Option<Arc<dyn BridgeSecret>>,
}

/// The game proxy. Both directions share one secret: another one that either finds in its file is used by both.
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
    };
    let client = Velocity::new(&settings, clock.clone());
    let client = client.context("the client of Velocity could not be made (VELOCITY_URL)")?;
    Ok(Bridge { secret: Some(Arc::new(client.proof(clock.clone()))), proxy: Some(Arc::new(client)) })
}

/// Who publishes servers: for those who wait for it, and in the background.
pub struct Publishers {
    /// For those who wait.
    pub publisher: Publisher,
    /// For nobody in particular: it leaves a part of every budget to the other.
    pub background: Publisher,
}

/// The zone at Cloudflare, when one is configured.
pub fn cloudflare(zone: &ZoneConfig, dns: &DnsConfig, clock: &Clock) -> anyhow::Result<Option<Cloudflare>> {
    let (Some(config), Some(zone)) = (&dns.cloudflare, &zone.zone) else { return Ok(None) };
    let settings = CloudflareSettings {
        base_url: config.url.clone(),
        token: config.token.clone(),
        zone_id: config.zone_id.clone(),
        zone: zone.clone(),
        timeout: dns.request_timeout,
        cool_down: CloudflareSettings::COOL_DOWN,
    };
    let client = Cloudflare::new(settings, clock.clone());
    Ok(Some(client.context("the client of Cloudflare could not be made (CLOUDFLARE_API_URL)")?))
}

/// The zone at Technitium, when one is configured.
pub fn technitium(zone: &ZoneConfig, dns: &DnsConfig, clock: &Clock) -> anyhow::Result<Option<Arc<dyn DnsZone>>> {
    let (Some(config), Some(zone)) = (&dns.technitium, &zone.zone) else { return Ok(None) };
    let settings = TechnitiumSettings {
        base_url: config.url.clone(),
        token: config.token.clone(),
        zone: zone.clone(),
        timeout: dns.request_timeout,
        cool_down: TechnitiumSettings::COOL_DOWN,
    };
    let client = Technitium::new(settings, clock.clone());
    Ok(Some(Arc::new(client.context("the client of Technitium could not be made (TECHNITIUM_API_URL)")?)))
}

/// The edge: those of its peers that are configured, and the policy.
pub fn publishers(
    zone: &ZoneConfig,
    velocity: &VelocityConfig,
    proxy: Option<Arc<dyn GameProxy>>,
    dns: &DnsConfig,
    db: DatabaseConnection,
    clock: &Clock,
) -> anyhow::Result<Publishers> {
    let cloudflare = cloudflare(zone, dns, clock)?;
    let shared = Peers { velocity: proxy, technitium: technitium(zone, dns, clock)?, cloudflare: None };
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

/// The times of a lease.
pub fn lease(config: &LeaseConfig) -> LeaseSettings {
    let LeaseConfig { ttl, renew, retry, takeover } = *config;
    LeaseSettings { ttl, renew, retry, takeover, ..LeaseSettings::default() }
}
