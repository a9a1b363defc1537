//! The parts of an API in tests: stores from the caller, and peers that do not answer unless the caller replaces them.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::DatabaseConnection;
use tokio_util::sync::CancellationToken;
use zpack::accounts::{Passwords, TokenSigner};
use zpack::adapters::agent::{AgentSettings, Agents};
use zpack::adapters::proxmox::{Cloning, Deadlines, Endpoint, Proxmox, ProxmoxSettings};
use zpack::adapters::tls::TlsVerify;
use zpack::adapters::velocity::BridgeProof;
use zpack::db::{Division, Reads};
use zpack::edge::EdgePolicy;
use zpack::instances::quota::Quota;
use zpack::jobs::{Failpoints, Lists};
use zpack::kernel::{Clock, Reach, Secret, StoredSecret};
use zpack::observe::facts::Freshness;
use zpack::ports::{Agent, BridgeSecret, Hypervisor};
use zpack::provision::http::ServerLimits;
use zpack::publishing::{Publisher, Targets};
use zpack::router::{Allowances, Credentials, DatabaseProbe, Parts};
use zpack::telemetry::Metrics;
use zpack::web::sse::StreamLimits;
use zpack::web::{AllowedOrigins, ClientPolicy, RateLimiter};

use super::app::{BRIDGE, DISCOVERY, INTERNAL, ORIGIN};
use super::artifacts;

/// The largest number of open event streams.
pub const MOST_STREAMS: usize = 8;

/// How old observations may be in a test.
pub const FRESHNESS: Freshness = Freshness::of_intervals(Duration::from_secs(5), Duration::from_secs(10));

/// The parts of an API with these stores. It counts requests in its own process.
pub fn parts(db: DatabaseConnection, lists: Lists, clock: Clock) -> Parts {
    let secret = Secret::new("a signing secret of more than 32 bytes");
    Parts {
        lists,
        metrics: Metrics::default(),
        client_policy: ClientPolicy { origins: AllowedOrigins::new([ORIGIN.to_owned()]), ..ClientPolicy::default() },
        credentials: Credentials {
            tokens: TokenSigner::new(&secret, Duration::from_secs(3600)).unwrap(),
            passwords: Passwords::new(2).unwrap(),
            internal: Some(Secret::new(INTERNAL)),
            discovery: Some(Secret::new(DISCOVERY)),
            bridge: bridge(Secret::new(BRIDGE).into(), &clock),
        },
        limiter: RateLimiter::new(clock.clone(), None),
        probes: vec![Arc::new(DatabaseProbe(db.clone()))],
        source: artifacts::shared(),
        catalog_refresh: Duration::from_secs(60),
        freshness: FRESHNESS,
        allowances: Allowances {
            quota: Quota::default(),
            limits: ServerLimits { memory_mib: (512, 32_768), cpu_cores: (1, 16) },
        },
        hypervisor: no_cluster(),
        agent: no_agents(),
        publisher: Publisher::new(db.clone(), Targets::default(), EdgePolicy::default(), clock.clone()),
        stream_limits: StreamLimits { all: MOST_STREAMS, of_account: 2 * MOST_STREAMS },
        streams_end: CancellationToken::new(),
        failpoints: Failpoints::default(),
        reads: Reads::new(db.clone(), Division::of(8, 2)),
        db,
        clock,
    }
}

/// Checks callbacks of the game proxy with this secret.
pub fn bridge(secret: StoredSecret, clock: &Clock) -> Option<Arc<dyn BridgeSecret>> {
    Some(Arc::new(BridgeProof::new(secret, clock.clone())))
}

/// Agents that do not answer.
fn no_agents() -> Arc<dyn Agent> {
    let settings = AgentSettings {
        reach: Reach::Loopback,
        port: 9,
        token: None,
        timeout: Duration::from_secs(2),
        cool_down: Duration::ZERO,
    };
    Arc::new(Agents::new(settings, Clock::System).unwrap())
}

/// A cluster that does not answer.
fn no_cluster() -> Arc<dyn Hypervisor> {
    let base = "http://127.0.0.1:9/api2/json".parse().unwrap();
    let settings = ProxmoxSettings {
        reach: Reach::Loopback,
        endpoints: vec![Endpoint { base, node: None }],
        token: Secret::new("nobody@pve!test=none").into(),
        tls: TlsVerify::SystemRoots,
        cloning: Cloning::Linked,
        deadlines: Deadlines::default(),
    };
    Arc::new(Proxmox::new(&settings, Clock::System).unwrap())
}
