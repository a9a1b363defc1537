//! The documents, made from rows. Pure apart from the queries.

use sea_orm::ConnectionTrait;
use serde::Serialize;
use utoipa::ToSchema;

use crate::db::entities::instance;
use crate::edge::{EDGE_KEY, EdgeRecord, Intent, TraefikDocument, TraefikRoute};
use crate::servers::payload::{self, PayloadError};
use crate::servers::store;

/// A server that should be registered at the proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DesiredServer {
    /// Its canonical name.
    pub name: String,
    /// The address players are forwarded to.
    pub address: String,
    /// The port at that address.
    pub port: u16,
}

/// All servers that should be registered at the proxy, sorted by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DesiredServers {
    /// The servers.
    pub servers: Vec<DesiredServer>,
}

/// The publications of all servers that are to be published. An unreadable one is an error: a poller would otherwise
/// treat the server as deleted.
async fn published(db: &impl ConnectionTrait) -> Result<Vec<(instance::Model, EdgeRecord)>, PayloadError> {
    let mut published = Vec::new();
    for row in store::list_active_games(db).await? {
        let record: Option<EdgeRecord> = payload::read(&row, EDGE_KEY)?;
        published.extend(record.filter(|record| record.intent == Intent::Published).map(|record| (row, record)));
    }
    Ok(published)
}

/// The servers that should be registered at the proxy.
pub(super) async fn desired(db: &impl ConnectionTrait) -> Result<DesiredServers, PayloadError> {
    let registrations = published(db).await?.into_iter().filter_map(|(_, record)| record.publication.registration);
    let mut servers: Vec<DesiredServer> = registrations
        .map(|server| DesiredServer {
            name: server.name.to_string(),
            address: server.address.ip().to_string(),
            port: server.address.port(),
        })
        .collect();
    servers.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(DesiredServers { servers })
}

/// The routes of games without a proxy. Servers that claim one port are left out.
pub(super) async fn routes(db: &impl ConnectionTrait) -> Result<TraefikDocument, PayloadError> {
    let mut routes = Vec::new();
    for (row, record) in published(db).await? {
        for route in record.publication.routes() {
            routes.extend(route.transports.iter().map(|transport| TraefikRoute {
                transport: *transport,
                port: route.port,
                host: row.hostname.clone(),
                backend: route.backend,
            }));
        }
    }
    Ok(TraefikDocument::of(&routes))
}
