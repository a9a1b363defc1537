//! What each role needs: a struct of sections, nothing more.

use super::reader::{Noted, Reader, Settings};
use super::source::MapSource;
use super::{
    AgentConfig, AuthConfig, CatalogConfig, DatabaseConfig, DnsConfig, EnvironmentConfig, HttpConfig, JobsConfig, Key,
    LeaseConfig, LimitsConfig, LogConfig, MetricsConfig, PollerConfig, Problem, ProvisionConfig, ProxmoxConfig,
    RedisConfig, TokensConfig, VelocityConfig, ZoneConfig,
};
use crate::kernel::text_enum;

/// Defines a role as its sections. All of them are read before the first failure ends it.
macro_rules! role {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $section:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name { $($(#[$field_doc])* pub $field: $section),+ }

        impl Settings for $name {
            fn read(env: &mut Reader<'_>) -> Result<Self, Noted> {
                $(let $field = <$section>::read(env);)+
                Ok(Self { $($field: $field?),+ })
            }
        }
    };
}

role! {
    /// `zpack serve`.
    ServeConfig {
        /// Whether this is production.
        environment: EnvironmentConfig,
        /// Where the rows are.
        database: DatabaseConfig,
        /// Where the queues and the live state are.
        redis: RedisConfig,
        /// The API's door.
        http: HttpConfig,
        /// How access tokens are signed.
        auth: AuthConfig,
        /// What other services prove themselves with.
        tokens: TokensConfig,
        /// Where the catalog is served.
        catalog: CatalogConfig,
        /// What one customer may ask for.
        limits: LimitsConfig,
        /// The DNS zone of the servers.
        zone: ZoneConfig,
        /// The game proxy.
        velocity: VelocityConfig,
        /// The DNS servers.
        dns: DnsConfig,
        /// How agents are reached.
        agent: AgentConfig,
        /// How often agents are looked at.
        poller: PollerConfig,
        /// Where the power of containers is observed.
        proxmox: ProxmoxConfig,
    }
}

role! {
    /// `zpack worker provision`.
    WorkerConfig {
        /// Whether this is production.
        environment: EnvironmentConfig,
        /// Where the rows are.
        database: DatabaseConfig,
        /// Where the queues are.
        redis: RedisConfig,
        /// Where the catalog is served.
        catalog: CatalogConfig,
        /// The cluster.
        proxmox: ProxmoxConfig,
        /// How agents are reached.
        agent: AgentConfig,
        /// The DNS zone of the servers.
        zone: ZoneConfig,
        /// The game proxy.
        velocity: VelocityConfig,
        /// The DNS servers.
        dns: DnsConfig,
        /// How servers are made.
        provision: ProvisionConfig,
        /// The times of the job runtime.
        jobs: JobsConfig,
        /// Where it shows what it counts.
        metrics: MetricsConfig,
    }
}

role! {
    /// Commands that only need the database: `zpack migrate`, `zpack user`.
    StoreConfig {
        /// Where the rows are.
        database: DatabaseConfig,
    }
}

role! {
    /// Commands of the operator on operations, queues and leases: `zpack ops`, `zpack queue`, `zpack lease`.
    OperatorConfig {
        /// Where the rows are.
        database: DatabaseConfig,
        /// Where the queues are.
        redis: RedisConfig,
    }
}

role! {
    /// A candidate for a lease.
    CandidateConfig {
        /// Whether this is production.
        environment: EnvironmentConfig,
        /// Where the rows are.
        database: DatabaseConfig,
        /// Where the locks are.
        redis: RedisConfig,
        /// The times of the lease.
        lease: LeaseConfig,
    }
}

role! {
    /// `zpack doctor`, which looks at everything.
    DoctorConfig {
        /// What is logged.
        log: LogConfig,
        /// What the API needs.
        serve: ServeConfig,
        /// What the worker needs.
        worker: WorkerConfig,
        /// How leaders are elected.
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
        /// Everything that only needs the database.
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
    /// Whether the role does not start without `key`.
    pub fn demands(self, key: &Key) -> bool {
        let nothing = MapSource::default();
        let problems = match self {
            Self::Serve => ServeConfig::load(&nothing).err(),
            Self::WorkerProvision => WorkerConfig::load(&nothing).err(),
            Self::Migrate | Self::User => StoreConfig::load(&nothing).err(),
            Self::Ops | Self::Queue | Self::Lease => OperatorConfig::load(&nothing).err(),
        };
        problems.is_some_and(|problems| {
            problems.list().iter().any(|problem| matches!(problem, Problem::Missing { name, .. } if *name == key.name))
        })
    }
}
