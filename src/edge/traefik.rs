//! The document Traefik polls for the games that have no proxy of their own (docs/contracts/edge.md E2).
//!
//! Neither UDP nor TCP without TLS has anything to route by: everything that arrives at an entry point goes to one server. So
//! every allocated port is an entry point with exactly one router. The same routes make the same bytes in any order,
//! because Traefik applies a document whenever its bytes change.

use std::collections::{BTreeMap, BTreeSet};
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

/// Several servers claim one entry point, where one would get the players of the other. None of them is routed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collision {
    /// The entry point.
    pub entry_point: String,
    /// The servers, sorted.
    pub hosts: Vec<Hostname>,
}

impl std::fmt::Display for Collision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hosts: Vec<&str> = self.hosts.iter().map(Hostname::as_str).collect();
        write!(
            f,
            "the entry point {} is allocated to {}; none of them is routed",
            self.entry_point,
            hosts.join(" and ")
        )
    }
}

/// The document, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraefikDocument {
    text: String,
    collisions: Vec<Collision>,
}

impl TraefikDocument {
    /// The document for `routes`, without those that collide.
    pub fn of(routes: &[TraefikRoute]) -> Self {
        let mut by_entry_point: BTreeMap<(Transport, u16), BTreeSet<&TraefikRoute>> = BTreeMap::new();
        for route in routes {
            by_entry_point.entry((route.transport, route.port)).or_default().insert(route);
        }
        let (mut document, mut collisions) = (Document::default(), Vec::new());
        for claims in by_entry_point.into_values() {
            match claims.iter().copied().collect::<Vec<_>>().as_slice() {
                [] => {}
                [route] => document.add(route),
                [first, ..] => {
                    let hosts = claims.iter().map(|route| route.host.clone()).collect();
                    collisions.push(Collision { entry_point: first.entry_point(), hosts });
                }
            }
        }
        // Maps with text keys: serialising cannot fail.
        Self { text: serde_json::to_string(&document).unwrap_or_default(), collisions }
    }

    /// What is missing because of collisions.
    pub fn collisions(&self) -> &[Collision] {
        &self.collisions
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
        let document = TraefikDocument::of(&routes);
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
        assert_eq!(TraefikDocument::of(&[]).text(), "{}");
    }

    #[test]
    fn two_servers_of_a_game_have_an_entry_point_each_and_never_share_one() {
        let (first, second) = (route(Transport::Udp, 50_000, "rust-5001"), route(Transport::Udp, 50_001, "rust-5002"));
        let text = TraefikDocument::of(&[first.clone(), second.clone()]).text().to_owned();
        assert!(text.contains("p50000u") && text.contains("p50001u"));
        // A pair that collides costs its two routes, not the document.
        let thief = route(Transport::Udp, 50_000, "rust-5003");
        let document = TraefikDocument::of(&[thief.clone(), first.clone(), second.clone()]);
        assert_eq!(document, TraefikDocument::of(&[second.clone(), first.clone(), thief]));
        assert_eq!(document.text(), TraefikDocument::of(&[second]).text());
        let hosts = ["rust-5001", "rust-5003"].map(|host| host.parse().unwrap()).to_vec();
        assert_eq!(document.collisions(), [Collision { entry_point: "p50000u".to_owned(), hosts }]);
        // A port takes TCP and UDP side by side, and saying the same twice is no collision.
        let both = [route(Transport::Tcp, 50_000, "rust-5001"), first.clone(), first];
        assert_eq!(TraefikDocument::of(&both).collisions(), []);
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
            prop_assert_eq!(one.etag(), other.etag());
        }

        #[test]
        fn every_entry_point_has_one_router_or_none_where_servers_collide(routes in routes()) {
            let document = TraefikDocument::of(&routes);
            let tree: serde_json::Value = serde_json::from_str(document.text()).unwrap();
            let routers = ["tcp", "udp"].into_iter().filter_map(|kind| tree[kind]["routers"].as_object());
            let mut seen: Vec<_> = routers.flat_map(|all| all.values()).map(|one| one["entryPoints"].to_string()).collect();
            let mut wanted: Vec<_> = routes.iter().map(|route| format!("[\"{}\"]", route.entry_point())).collect();
            seen.sort();
            wanted.sort();
            wanted.dedup();
            wanted.retain(|wanted| document.collisions().iter().all(|one| *wanted != format!("[\"{}\"]", one.entry_point)));
            prop_assert_eq!(seen, wanted);
        }
    }
}
