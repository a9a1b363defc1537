//! What the handlers need: one small struct per group of routes, passed to them as `web::Data`.

use actix_web::web::{Data, ServiceConfig};

use super::health::HealthApi;
use super::metrics::MetricsApi;
use crate::accounts::Authenticator;
use crate::accounts::http::AccountsApi;
use crate::audit::http::AuditApi;
use crate::catalog::Catalog;
use crate::cluster::http::ClusterApi;
use crate::discovery::http::DiscoveryApi;
use crate::instances::ServersApi;
use crate::operations::http::OperationsApi;
use crate::power::http::PowerApi;
use crate::provision::http::ProvisionApi;
use crate::publishing::http::EdgeApi;
use crate::teardown::http::TeardownApi;
use crate::web::{ClientPolicy, RateLimiter};

/// One struct per group of routes. A new group adds its struct here, and adds to `parts.rs` what the struct is built
/// from.
#[derive(Clone)]
pub struct Apis {
    /// Trusted proxies and allowed origins.
    pub client_policy: ClientPolicy,
    /// Identifies callers.
    pub authenticator: Authenticator,
    /// The rate limits.
    pub limiter: RateLimiter,
    /// Health.
    pub health: HealthApi,
    /// The metrics.
    pub metrics: MetricsApi,
    /// Accounts.
    pub accounts: AccountsApi,
    /// The catalog.
    pub catalog: Catalog,
    /// Operations.
    pub operations: OperationsApi,
    /// Creating servers.
    pub provision: ProvisionApi,
    /// The edge, for operators.
    pub publishing: EdgeApi,
    /// The desired-state documents for the edge.
    pub discovery: DiscoveryApi,
    /// The power of servers.
    pub power: PowerApi,
    /// The cluster, for operators.
    pub cluster: ClusterApi,
    /// Deleting servers.
    pub teardown: TeardownApi,
    /// The audit log.
    pub audit: AuditApi,
    /// Servers and their observed state.
    pub servers: ServersApi,
}

impl Apis {
    /// Passes each struct to the handlers that need it.
    pub(super) fn configure(&self, config: &mut ServiceConfig) {
        config
            .app_data(Data::new(self.client_policy.clone()))
            .app_data(Data::new(self.authenticator.clone()))
            .app_data(Data::new(self.limiter.clone()))
            .app_data(Data::new(self.health.clone()))
            .app_data(Data::new(self.metrics.clone()))
            .app_data(Data::new(self.metrics.metrics.http.clone()))
            .app_data(Data::new(self.accounts.clone()))
            .app_data(Data::new(self.catalog.clone()))
            .app_data(Data::new(self.operations.clone()))
            .app_data(Data::new(self.provision.clone()))
            .app_data(Data::new(self.publishing.clone()))
            .app_data(Data::new(self.discovery.clone()))
            .app_data(Data::new(self.power.clone()))
            .app_data(Data::new(self.cluster.clone()))
            .app_data(Data::new(self.teardown.clone()))
            .app_data(Data::new(self.audit.clone()))
            .app_data(Data::new(self.servers.clone()));
    }
}
