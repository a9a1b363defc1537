//! The settings of a development company: what `zpack.env` holds, and what its roles read.

use std::time::Duration;

use crate::config::{MapSource, Source, env_line, groups};

use super::credentials::Credentials;

/// Settings about how fast and how much, not where: those of the shell are used.
const TUNABLE: &[&str] = &[
    "LOG_",
    "RUST_LOG",
    "JOB_",
    "QUOTA_",
    "SERVER_",
    "PROVISION_",
    "HOST_",
    "POLLER_",
    "CORS_ORIGINS",
    "TRUSTED_PROXIES",
    "CATALOG_REFRESH_SECONDS",
    "PROXMOX_TASK_",
    "CLONE_ABSENCE_MS",
    "ADDRESS_",
    "AGENT_POLL_MS",
    "AGENT_READY_TIMEOUT_SECONDS",
    "AGENT_REQUEST_TIMEOUT_MS",
    "API_AUTH_TTL_SECONDS",
    "DATABASE_MAX_CONNECTIONS",
    "ZPACK_FAILPOINT",
];

/// Where a Portal that is being developed on this machine is served from.
const PORTAL: &str = "http://localhost:3000,http://127.0.0.1:3000";

/// Where the parts of the company are.
pub(super) struct Places {
    pub(super) database: String,
    pub(super) redis: String,
    pub(super) port: u16,
    pub(super) sim: String,
    pub(super) proxmox: String,
    pub(super) proxmox_token: String,
    pub(super) templates: String,
    pub(super) artifacts: String,
    pub(super) agent_port: u16,
    pub(super) agent_token: String,
    pub(super) cloudflare: String,
    pub(super) cloudflare_token: String,
    pub(super) cloudflare_zone: String,
    pub(super) technitium: String,
    pub(super) technitium_token: String,
    pub(super) velocity_port: u16,
    pub(super) velocity: String,
    pub(super) velocity_secret: String,
}

/// Every setting of the running company, in the order it is written.
pub(super) struct DevEnvironment(Vec<(String, String)>);

impl DevEnvironment {
    /// The settings for `places`. `shell` may tune them, but cannot point to other stores or peers.
    pub(super) fn new(places: &Places, credentials: &Credentials, time_scale: f64, shell: &dyn Source) -> Self {
        let api = format!("http://127.0.0.1:{}", places.port);
        let fixed = [
            ("ZPACK_ENV", "development".to_owned()),
            ("PEER_ADDRESSES", "loopback".to_owned()),
            ("DATABASE_URL", places.database.clone()),
            ("REDIS_URL", places.redis.clone()),
            ("PORT", places.port.to_string()),
            ("BIND_ADDRESS", "127.0.0.1".to_owned()),
            ("PUBLIC_BASE_URL", api),
            ("CORS_ORIGINS", PORTAL.to_owned()),
            ("API_AUTH_SECRET", credentials.api_auth_secret.clone()),
            ("INTERNAL_API_TOKEN", credentials.internal_token.clone()),
            ("PROM_SD_TOKEN", credentials.discovery_token.clone()),
            ("STRIPE_WEBHOOK_SECRETS", credentials.stripe_webhook_secret.clone()),
            ("ARTIFACT_BASE_URL", places.artifacts.clone()),
            ("ZPACK_ZONE", "play.zpack.test".to_owned()),
            ("IDE_HOST_SUFFIX", "ide.zpack.test".to_owned()),
            ("PROXMOX_HOST", places.proxmox.clone()),
            ("PROXMOX_API_TOKEN", places.proxmox_token.clone()),
            ("PROXMOX_VERIFY_TLS", "false".to_owned()),
            ("AGENT_TEMPLATE_VMID", places.templates.clone()),
            ("ZLH_AGENT_PORT", places.agent_port.to_string()),
            ("ZLH_AGENT_TOKEN", places.agent_token.clone()),
            ("VELOCITY_URL", places.velocity.clone()),
            ("ZPACK_SECRET", places.velocity_secret.clone()),
            ("VELOCITY_EDGE_IP", "127.0.0.1".to_owned()),
            ("VELOCITY_EDGE_PORT", places.velocity_port.to_string()),
            ("CLOUDFLARE_API_URL", places.cloudflare.clone()),
            ("CLOUDFLARE_API_TOKEN", places.cloudflare_token.clone()),
            ("CLOUDFLARE_ZONE_ID", places.cloudflare_zone.clone()),
            ("CLOUDFLARE_EDGE_IP", "127.0.0.1".to_owned()),
            ("TECHNITIUM_API_URL", places.technitium.clone()),
            ("TECHNITIUM_API_TOKEN", places.technitium_token.clone()),
            ("ZPACK_SIM_URL", places.sim.clone()),
        ];
        let mut settings: Vec<(String, String)> = fixed.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        settings.extend(scaled(time_scale));
        for key in groups().iter().flat_map(|group| group.keys) {
            let tuned = TUNABLE.iter().any(|prefix| key.name.starts_with(prefix));
            if let (true, Ok(Some(value))) = (tuned, shell.var(key.name)) {
                settings.retain(|(name, _)| name != key.name);
                settings.push((key.name.to_owned(), value));
            }
        }
        Self(settings)
    }

    /// What the roles of this process read.
    pub(super) fn source(&self) -> MapSource {
        self.0.iter().cloned().collect()
    }

    /// The text of `zpack.env`.
    pub(super) fn file(&self) -> String {
        let head = "# Settings of a running `zpack dev`; rewritten at every start.\n";
        self.0.iter().fold(head.to_owned(), |text, (name, value)| text + &env_line(name, value))
    }
}

/// Waits that depend on the time scale, each with a minimum, below which the machine is the limit.
fn scaled(scale: f64) -> impl Iterator<Item = (String, String)> {
    let millis = [
        ("PROXMOX_TASK_POLL_MS", 1000, 50),
        ("CLONE_ABSENCE_MS", 15_000, 1000),
        ("ADDRESS_POLL_MS", 2000, 50),
        ("AGENT_POLL_MS", 3000, 50),
        ("POLLER_INTERVAL_MS", 5000, 250),
    ];
    let seconds = [
        ("PROXMOX_TASK_TIMEOUT_SECONDS", 900, 60),
        ("ADDRESS_TIMEOUT_SECONDS", 120, 20),
        ("AGENT_READY_TIMEOUT_SECONDS", 600, 60),
        ("HOST_STOP_GRACE_SECONDS", 60, 5),
    ];
    let millis = millis.into_iter().map(move |(name, value, floor)| {
        let scaled = Duration::from_millis(value).mul_f64(scale).as_millis();
        (name.to_owned(), scaled.clamp(floor, 60_000).to_string())
    });
    let seconds = seconds.into_iter().map(move |(name, value, floor)| {
        let scaled = Duration::from_secs(value).mul_f64(scale).as_secs();
        (name.to_owned(), scaled.clamp(floor, 86_400).to_string())
    });
    millis.chain(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DoctorConfig, ServeConfig, Settings};

    fn places() -> Places {
        Places {
            database: "sqlite:///tmp/zpack.db".to_owned(),
            redis: "redis://:pw@127.0.0.1:1/0".to_owned(),
            port: 4000,
            sim: "http://127.0.0.1:4001".to_owned(),
            proxmox: "http://127.0.0.1:4002".to_owned(),
            proxmox_token: "zpack@pve!ctl=secret".to_owned(),
            templates: "9000,9001".to_owned(),
            artifacts: "http://127.0.0.1:4003".to_owned(),
            agent_port: 18_888,
            agent_token: "agent-token".to_owned(),
            velocity: "http://127.0.0.1:4005".to_owned(),
            velocity_secret: "the secret of the bridge".to_owned(),
            velocity_port: 4006,
            cloudflare: "http://127.0.0.1:4007/client/v4".to_owned(),
            cloudflare_token: "cloudflare-token".to_owned(),
            cloudflare_zone: "0123456789abcdef".repeat(2),
            technitium: "http://127.0.0.1:4008".to_owned(),
            technitium_token: "technitium-token".to_owned(),
        }
    }

    fn credentials() -> Credentials {
        let folder = tempfile::tempdir().unwrap();
        Credentials::load_or_make(&super::super::data_dir::DataDir::open(folder.path()).unwrap()).unwrap().0
    }

    #[test]
    fn every_role_starts_with_what_is_written() {
        for scale in [0.0, 0.01, 1.0, 100.0] {
            let dev = DevEnvironment::new(&places(), &credentials(), scale, &MapSource::default());
            let loaded = DoctorConfig::load(&dev.source());
            assert!(loaded.is_ok(), "{scale}: {}", loaded.unwrap_err());
        }
    }

    #[test]
    fn a_portal_on_this_machine_may_call_unless_the_shell_names_others() {
        let origins = |shell: MapSource| {
            let dev = DevEnvironment::new(&places(), &credentials(), 0.1, &shell);
            ServeConfig::load(&dev.source()).unwrap().http.cors_origins
        };
        assert_eq!(origins(MapSource::default()), ["http://localhost:3000", "http://127.0.0.1:3000"]);
        let shell = MapSource::default().with("CORS_ORIGINS", "http://localhost:5173");
        assert_eq!(origins(shell), ["http://localhost:5173"]);
    }

    #[test]
    fn a_shell_tunes_but_does_not_point_elsewhere() {
        let shell = MapSource::default().with("PROVISION_SLOTS", "8").with("DATABASE_URL", "postgres://prod/zpack");
        let dev = DevEnvironment::new(&places(), &credentials(), 0.1, &shell).file();
        assert!(dev.contains("PROVISION_SLOTS=8") && !dev.contains("prod"), "{dev}");
    }
}
