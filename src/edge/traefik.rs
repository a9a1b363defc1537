//! The document Traefik polls for the games that have no proxy of their own (docs/contracts/edge.md E2).
//!
//! Neither UDP nor TCP without TLS has anything to route by: everything that arrives at an entry point goes to one server. So
//! every allocated port is an entry point with exactly one router. The same routes make the same bytes in any order,
//! because Traefik applies a document whenever its bytes change.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::kernel::{Hostname, text_enum};

text_enum! {
    /// What an entry point accepts.
    pub enum Transport {
        /// Connections.
        Tcp = "tcp",
        /// Datagrams.
        Udp = "udp",
    }
}

/// A port of the edge that leads to a server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TraefikRoute {
    /// What the entry point accepts.
    pub transport: Transport,
    /// The allocated port.
    pub port: u16,
    /// The server it is allocated to.
    pub host: Hostname,
    /// Where that server listens.
    pub backend: SocketAddr,
}

impl TraefikRoute {
    /// The name of the entry point in Traefik's static configuration: `p50000t` accepts TCP on port 50000, `p50000u` UDP.
    pub fn entry_point(&self) -> String {
        let letter = match self.transport {
            Transport::Tcp => 't',
            Transport::Udp => 'u',
        };
        format!("p{}{letter}", self.port)
    }

    fn name(&self) -> String {
        format!("zpack-{}-{}-{}", self.host, self.port, self.transport)
    }
}

/// Two servers share an entry point, so that one would get the players of the other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the entry point {entry_point} is allocated to both {first} and {second}")]
pub struct Collision {
    /// The entry point.
    pub entry_point: String,
    /// One server.
    pub first: Hostname,
    /// The other.
    pub second: Hostname,
}

/// The document, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraefikDocument {
    text: String,
}

impl TraefikDocument {
    /// The document for `routes`; there is none in which servers collide.
    pub fn of(routes: &[TraefikRoute]) -> Result<Self, Collision> {
        let mut by_entry_point: BTreeMap<(Transport, u16), &TraefikRoute> = BTreeMap::new();
        // Sorted, so that a collision is reported in the same way each time.
        let mut sorted: Vec<&TraefikRoute> = routes.iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        for route in sorted {
            if let Some(first) = by_entry_point.insert((route.transport, route.port), route) {
                let (first, second) = (first.host.clone(), route.host.clone());
                return Err(Collision { entry_point: route.entry_point(), first, second });
            }
        }
        let mut document = Document::default();
        for route in by_entry_point.into_values() {
            document.add(route);
        }
        // Maps with text keys: serialising cannot fail.
        Ok(Self { text: serde_json::to_string(&document).unwrap_or_default() })
    }

    /// Its bytes, always the same for the same routes.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its entity tag, quotes included.
    pub fn etag(&self) -> String {
        let digest = hex::encode(Sha256::digest(self.text.as_bytes()));
        format!("\"{}\"", digest.get(..32).unwrap_or_default())
    }
}

#[derive(Default, Serialize)]
struct Document {
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp: Option<Section>,
    #[serde(skip_serializing_if = "Option::is_none")]
    udp: Option<Section>,
}

#[derive(Default, Serialize)]
struct Section {
    routers: BTreeMap<String, Router>,
    services: BTreeMap<String, Service>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Router {
    entry_points: [String; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'static str>,
    service: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Service {
    load_balancer: LoadBalancer,
}

#[derive(Serialize)]
struct LoadBalancer {
    servers: [Server; 1],
}

#[derive(Serialize)]
struct Server {
    address: String,
}

impl Document {
    fn add(&mut self, route: &TraefikRoute) {
        let (section, rule) = match route.transport {
            Transport::Tcp => (&mut self.tcp, Some("HostSNI(`*`)")),
            Transport::Udp => (&mut self.udp, None),
        };
        let section = section.get_or_insert_default();
        let name = route.name();
        let servers = [Server { address: route.backend.to_string() }];
        section.services.insert(name.clone(), Service { load_balancer: LoadBalancer { servers } });
        section.routers.insert(name.clone(), Router { entry_points: [route.entry_point()], rule, service: name });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn route(transport: Transport, port: u16, host: &str) -> TraefikRoute {
        let backend = format!("10.0.0.1:{port}").parse().unwrap();
        TraefikRoute { transport, port, host: host.parse().unwrap(), backend }
    }

    #[test]
    fn the_document_is_the_one_traefik_reads() {
        let routes = [route(Transport::Udp, 50_001, "valheim-5002"), route(Transport::Tcp, 50_000, "terraria-5001")];
        let document = TraefikDocument::of(&routes).unwrap();
        let expected = concat!(
            r#"{"tcp":{"routers":{"zpack-terraria-5001-50000-tcp":{"entryPoints":["p50000t"],"rule":"HostSNI(`*`)","#,
            r#""service":"zpack-terraria-5001-50000-tcp"}},"services":{"zpack-terraria-5001-50000-tcp":"#,
            r#"{"loadBalancer":{"servers":[{"address":"10.0.0.1:50000"}]}}}},"#,
            r#""udp":{"routers":{"zpack-valheim-5002-50001-udp":{"entryPoints":["p50001u"],"#,
            r#""service":"zpack-valheim-5002-50001-udp"}},"services":{"zpack-valheim-5002-50001-udp":"#,
            r#"{"loadBalancer":{"servers":[{"address":"10.0.0.1:50001"}]}}}}}"#,
        );
        assert_eq!(document.text(), expected);
    }

    #[test]
    fn no_routes_are_an_empty_document_which_removes_all() {
        assert_eq!(TraefikDocument::of(&[]).unwrap().text(), "{}");
    }

    #[test]
    fn two_servers_of_a_game_have_an_entry_point_each_and_never_share_one() {
        let (first, second) = (route(Transport::Udp, 50_000, "rust-5001"), route(Transport::Udp, 50_001, "rust-5002"));
        let text = TraefikDocument::of(&[first.clone(), second]).unwrap().text().to_owned();
        assert!(text.contains("p50000u") && text.contains("p50001u"));
        let thief = route(Transport::Udp, 50_000, "rust-5003");
        let refused = TraefikDocument::of(&[thief.clone(), first.clone()]).unwrap_err();
        assert_eq!(refused, TraefikDocument::of(&[first.clone(), thief]).unwrap_err());
        assert_eq!(refused.entry_point, "p50000u");
        // A port takes TCP and UDP side by side, and saying the same twice is no collision.
        let both = [route(Transport::Tcp, 50_000, "rust-5001"), first.clone(), first];
        assert!(TraefikDocument::of(&both).is_ok());
    }

    fn routes() -> impl Strategy<Value = Vec<TraefikRoute>> {
        let one = (any::<bool>(), 50_000u16..50_040, 1u8..=255).prop_map(|(tcp, port, host)| TraefikRoute {
            transport: if tcp { Transport::Tcp } else { Transport::Udp },
            port,
            host: format!("game-{port}").parse().unwrap(),
            backend: SocketAddr::from(([10, 0, 0, host], port)),
        });
        prop::collection::vec(one, 0..30)
    }

    proptest! {
        #[test]
        fn the_order_of_routes_is_not_seen(routes in routes().prop_flat_map(|routes| (Just(routes.clone()), Just(routes).prop_shuffle()))) {
            let (one, other) = (TraefikDocument::of(&routes.0), TraefikDocument::of(&routes.1));
            prop_assert_eq!(&one, &other);
            if let (Ok(one), Ok(other)) = (one, other) {
                prop_assert_eq!(one.etag(), other.etag());
            }
        }

        #[test]
        fn every_entry_point_has_one_router(routes in routes()) {
            let Ok(document) = TraefikDocument::of(&routes) else { return Ok(()) };
            let tree: serde_json::Value = serde_json::from_str(document.text()).unwrap();
            let routers = ["tcp", "udp"].into_iter().filter_map(|kind| tree[kind]["routers"].as_object());
            let mut seen: Vec<_> = routers.flat_map(|all| all.values()).map(|one| one["entryPoints"].to_string()).collect();
            let mut wanted: Vec<_> = routes.iter().map(|route| format!("[\"{}\"]", route.entry_point())).collect();
            seen.sort();
            wanted.sort();
            wanted.dedup();
            prop_assert_eq!(seen, wanted);
        }
    }
}
