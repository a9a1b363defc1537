//! Reads a dynamic configuration as Traefik does: the routes, and the warnings about what is left out. Pure.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use serde::Serialize;
use serde_json::{Map, Value};

/// The ports that have entry points in the static configuration, one for TCP and one for UDP each.
pub const POOL: RangeInclusive<u16> = 50_000..=50_999;

/// An entry point: `p50000t` takes TCP, `p50000u` UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryPoint {
    /// Whether it takes datagrams.
    pub udp: bool,
    /// Its port.
    pub port: u16,
}

impl EntryPoint {
    fn parse(name: &str, udp: bool) -> Option<Self> {
        let port = name.strip_prefix('p')?.strip_suffix(if udp { 'u' } else { 't' })?;
        let port = port.parse().ok().filter(|port| POOL.contains(port))?;
        Some(Self { udp, port })
    }

    /// Its name.
    pub fn name(self) -> String {
        format!("p{}{}", self.port, if self.udp { 'u' } else { 't' })
    }
}

/// Where an entry point forwards to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Destination {
    /// The router that has the entry point.
    pub router: String,
    /// Where it forwards to.
    pub backend: SocketAddr,
}

/// The entry points of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    /// Where each forwards to.
    pub routes: BTreeMap<EntryPoint, Destination>,
    /// The warnings in Traefik's log.
    pub warnings: Vec<String>,
}

/// Reads a configuration; anything but a JSON object is refused as a whole.
pub fn read(body: &[u8]) -> Result<Routing, String> {
    let document: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let document = document.as_object().ok_or("the configuration is not an object")?;
    let mut routing = Routing::default();
    for (kind, udp) in [("tcp", false), ("udp", true)] {
        let Some(section) = document.get(kind) else { continue };
        let part = |name: &str| section.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
        let (routers, services) = (part("routers"), part("services"));
        // In the order of their names, so that the last name wins, not the last in the document.
        let routers: BTreeMap<&String, &Value> = routers.iter().collect();
        for (name, router) in routers {
            match destination(name, router, &services, udp) {
                Ok(destination) => routing.add(router, &destination, udp),
                Err(warning) => routing.warnings.push(format!("router {name}: {warning}")),
            }
        }
    }
    Ok(routing)
}

fn destination(name: &str, router: &Value, services: &Map<String, Value>, udp: bool) -> Result<Destination, String> {
    if !udp {
        match router.get("rule").and_then(Value::as_str) {
            Some("HostSNI(`*`)") => {}
            Some(_) => return Err("without TLS only HostSNI(`*`) matches".to_owned()),
            None => return Err("no rule".to_owned()),
        }
    }
    let service = router.get("service").and_then(Value::as_str).ok_or("no service")?;
    let found = services.get(service).ok_or_else(|| format!("the service {service} does not exist"))?;
    let address = found.pointer("/loadBalancer/servers/0/address").and_then(Value::as_str);
    let backend = address.and_then(|address| address.parse().ok());
    let backend = backend.ok_or_else(|| format!("the service {service} has no server with an address"))?;
    Ok(Destination { router: name.to_owned(), backend })
}

impl Routing {
    fn add(&mut self, router: &Value, destination: &Destination, udp: bool) {
        let names = router.get("entryPoints").and_then(Value::as_array).cloned().unwrap_or_default();
        for name in names.iter().filter_map(Value::as_str) {
            let Some(entry_point) = EntryPoint::parse(name, udp) else {
                self.warnings.push(format!("router {}: EntryPoint doesn't exist: {name}", destination.router));
                continue;
            };
            if let Some(loser) = self.routes.insert(entry_point, destination.clone()) {
                self.warnings.push(format!("router {}: {name} is taken by {}", loser.router, destination.router));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(address: &str) -> Value {
        json!({"loadBalancer": {"servers": [{"address": address}]}})
    }

    #[test]
    fn of_two_routers_on_an_entry_point_the_last_by_name_wins() {
        let document = json!({"udp": {
            "routers": {
                "b": {"entryPoints": ["p50000u"], "service": "b"},
                "a": {"entryPoints": ["p50000u", "p50001u"], "service": "a"},
            },
            "services": {"a": service("10.0.0.1:1"), "b": service("10.0.0.2:2")},
        }});
        let routing = read(document.to_string().as_bytes()).unwrap();
        let routes: Vec<_> = routing.routes.iter().map(|(at, to)| (at.name(), to.router.as_str())).collect();
        assert_eq!(routes, [("p50000u".to_owned(), "b"), ("p50001u".to_owned(), "a")]);
        assert_eq!(routing.warnings, ["router a: p50000u is taken by b"]);
    }

    #[test]
    fn what_traefik_cannot_route_is_left_out_with_a_warning() {
        let document = json!({"tcp": {
            "routers": {
                "a": {"entryPoints": ["p50000t"], "rule": "HostSNI(`a.b`)", "service": "s"},
                "b": {"entryPoints": ["p50000u"], "rule": "HostSNI(`*`)", "service": "s"},
                "c": {"entryPoints": ["p50000t"], "rule": "HostSNI(`*`)", "service": "none"},
                "d": {"entryPoints": ["p60000t"], "rule": "HostSNI(`*`)", "service": "s"},
                "e": {"entryPoints": ["p50000t"], "service": "s"},
            },
            "services": {"s": service("10.0.0.1:1")},
        }});
        let routing = read(document.to_string().as_bytes()).unwrap();
        assert!(routing.routes.is_empty());
        assert_eq!(routing.warnings.len(), 5, "{:?}", routing.warnings);
    }

    #[test]
    fn a_broken_configuration_is_refused_and_an_empty_one_is_not() {
        for body in ["", "<html>", "[]", "{\"udp\":"] {
            assert!(read(body.as_bytes()).is_err(), "{body}");
        }
        assert_eq!(read(b"{}"), Ok(Routing::default()));
    }
}
