//! What each role requires: a struct of sections, nothing more.

use super::reader::{Reader, Reported, Settings};
use super::source::MapSource;
use super::{
    AgentConfig, AuthConfig, CatalogConfig, DatabaseConfig, DnsConfig, EnvironmentConfig, HttpConfig, JobsConfig, Key,
    LeaseConfig, LimitsConfig, LogConfig, MetricsConfig, PollerConfig, ProvisionConfig, ProxmoxConfig, RedisConfig,
    RetentionConfig, SettingProblem, TokensConfig, VelocityConfig, ZoneConfig,
};
use crate::kernel::text_enum;

/// Defines a role by its sections. All of them are read before the first failure is returned.
macro_rules! role {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $section:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name { $($(#[$field_doc])* pub $field: $section),+ }

        impl Settings for $name {
            fn read(env: &mut Reader<'_>) -> Result<Self, Reported> {
                $(let $field = <$section>::read(env);)+
                Ok(Self { $($field: $field?),+ })
            }
        }
    };
}

role! {
    /// `zpack serve`.
    ServeConfig {
        /// Whether this is a production installation.
        environment: EnvironmentConfig,
        /// The database.
        database: DatabaseConfig,
        /// The Redis of queues and live state.
        redis: RedisConfig,
        /// The HTTP listener.
        http: HttpConfig,
        /// How access tokens are signed.
        auth: AuthConfig,
        /// The tokens of other services.
        tokens: TokensConfig,
        /// Where the catalog is served from.
        catalog: CatalogConfig,
        /// Quotas and limits.
        limits: LimitsConfig,
        /// The DNS zone of the servers.
        zone: ZoneConfig,
        /// The game proxy.
        velocity: VelocityConfig,
        /// The DNS providers.
        dns: DnsConfig,
        /// How agents are reached.
        agent: AgentConfig,
        /// How agents are polled.
        poller: PollerConfig,
        /// The cluster, where the power state of containers is observed.
        proxmox: ProxmoxConfig,
        /// When records are archived.
        retention: RetentionConfig,
    }
}

role! {
    /// `zpack worker provision`.
    WorkerConfig {
        /// Whether this is a production installation.
        environment: EnvironmentConfig,
        /// The database.
        database: DatabaseConfig,
        /// The Redis of queues and live state.
        redis: RedisConfig,
        /// Where the catalog is served from.
        catalog: CatalogConfig,
        /// The cluster.
        proxmox: ProxmoxConfig,
        /// How agents are reached.
        agent: AgentConfig,
        /// The DNS zone of the servers.
        zone: ZoneConfig,
        /// The game proxy.
        velocity: VelocityConfig,
        /// The DNS providers.
        dns: DnsConfig,
        /// How servers are created.
        provision: ProvisionConfig,
        /// The timing of the job runtime.
        jobs: JobsConfig,
        /// Where metrics are served.
        metrics: MetricsConfig,
    }
}

role! {
    /// Commands that only need the database: `zpack migrate`, `zpack user`.
    StoreConfig {
        /// The database.
        database: DatabaseConfig,
    }
}

role! {
    /// An operator's commands on operations, queues and leases: `zpack ops`, `zpack queue`, `zpack lease`.
    OperatorConfig {
        /// The database.
        database: DatabaseConfig,
        /// The Redis of queues and live state.
        redis: RedisConfig,
    }
}

role! {
    /// A candidate for a lease.
    CandidateConfig {
        /// Whether this is a production installation.
        environment: EnvironmentConfig,
        /// The database.
        database: DatabaseConfig,
        /// The Redis of the leader's lock.
        redis: RedisConfig,
        /// The timing of the lease.
        lease: LeaseConfig,
    }
}

role! {
    /// `zpack doctor`, which checks all of them.
    DoctorConfig {
        /// What is logged, and in which format.
        log: LogConfig,
        /// The settings of the API.
        serve: ServeConfig,
        /// The settings of the worker.
        worker: WorkerConfig,
        /// The timing of leader election.
        lease: LeaseConfig,
    }
}

text_enum! {
    /// The roles that read settings, by their commands.
    pub enum Role {
        /// The API.
        Serve = "serve",
        /// The provisioning worker.
        WorkerProvision = "worker provision",
        /// Everything that needs only the database.
        Migrate = "migrate",
        /// Accounts.
        User = "user",
        /// Operations.
        Ops = "ops",
        /// Queues.
        Queue = "queue",
        /// Leases.
        Lease = "lease",
    }
}

impl Role {
    /// Whether the role refuses to start without `key`.
    pub fn demands(self, key: &Key) -> bool {
        let nothing = MapSource::default();
        let problems = match self {
            Self::Serve => ServeConfig::load(&nothing).err(),
            Self::WorkerProvision => WorkerConfig::load(&nothing).err(),
            Self::Migrate | Self::User => StoreConfig::load(&nothing).err(),
            Self::Ops | Self::Queue | Self::Lease => OperatorConfig::load(&nothing).err(),
        };
        problems.is_some_and(|problems| {
            problems
                .list()
                .iter()
                .any(|problem| matches!(problem, SettingProblem::Missing { name, .. } if *name == key.name))
        })
    }
}
