//! The game proxy that Minecraft players connect to.

use std::net::Ipv4Addr;
use std::time::Duration;

use url::Url;

use super::key::{Key, keys};
use super::parse::{base_url, clip};
use super::reader::{Noted, Reader, Settings};
use crate::kernel::StoredSecret;

keys! { "Velocity";
    /// The zpack bridge in the Velocity proxy. Without it Minecraft servers are not registered with a proxy.
    VELOCITY_URL = Key::optional("VELOCITY_URL").expects("an http or https URL").example("http://10.70.0.241:8081/");
    /// What zpack and the bridge prove themselves with to each other. Demanded with `VELOCITY_URL`. One in a file is read
    /// again when it is refused, and when a callback of the bridge carries another.
    ZPACK_SECRET = Key::optional("ZPACK_SECRET")
        .secret()
        .expects("at least 16 characters")
        .example("change-me-bridge-secret");
    /// Where players reach the proxy; the address records of Minecraft servers point there.
    VELOCITY_EDGE_IP = Key::optional("VELOCITY_EDGE_IP").expects("an IPv4 address").example("203.0.113.10");
    /// The port of the proxy at that address; the SRV records of Minecraft servers name it.
    VELOCITY_EDGE_PORT = Key::default("VELOCITY_EDGE_PORT", "25565").number(1..=65_535);
    /// How long a request to the bridge may take.
    VELOCITY_REQUEST_TIMEOUT_MS = Key::default("VELOCITY_REQUEST_TIMEOUT_MS", "5000").number(100..=60_000);
}

/// The bridge in the proxy.
#[derive(Clone, Debug)]
pub struct VelocityBridge {
    /// Its root.
    pub url: Url,
    /// What both sides know.
    pub secret: StoredSecret,
}

/// The game proxy that Minecraft players connect to.
#[derive(Clone, Debug)]
pub struct VelocityConfig {
    /// How it is told of servers; without it nothing is registered.
    pub bridge: Option<VelocityBridge>,
    /// What the bridge proves itself with when it calls us; without it no call passes as the bridge's.
    pub secret: Option<StoredSecret>,
    /// Where players reach it.
    pub edge_ip: Option<Ipv4Addr>,
    /// The port of the proxy there.
    pub edge_port: u16,
    /// How long a request may take.
    pub request_timeout: Duration,
}

impl Settings for VelocityConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Noted> {
        let url = env.optional(&VELOCITY_URL, base_url);
        let secret = env.optional_stored_secret(&ZPACK_SECRET, 16);
        let edge_ip = env.optional(&VELOCITY_EDGE_IP, |text| {
            text.parse::<Ipv4Addr>().map_err(|_| format!("`{}` is not an IPv4 address", clip(text)))
        });
        let edge_port = env.number(&VELOCITY_EDGE_PORT);
        let request_timeout = env.millis(&VELOCITY_REQUEST_TIMEOUT_MS);
        let secret = secret?;
        let bridge = match (url?, secret.clone()) {
            (Some(url), Some(secret)) => Some(VelocityBridge { url, secret }),
            (Some(_), None) => return Err(env.missing(&ZPACK_SECRET)),
            (None, _) => None,
        };
        Ok(Self { bridge, secret, edge_ip: edge_ip?, edge_port: edge_port?, request_timeout: request_timeout? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MapSource;

    #[test]
    fn a_bridge_has_an_address_and_a_secret_or_is_not_there() {
        let load = |source: MapSource| VelocityConfig::load(&source);
        assert!(load(MapSource::default()).unwrap().bridge.is_none());
        let called = load(MapSource::default().with("ZPACK_SECRET", "the secret of the bridge")).unwrap();
        assert!(called.bridge.is_none() && called.secret.is_some(), "a bridge that only calls us");
        let url = MapSource::default().with("VELOCITY_URL", "http://10.70.0.241:8081");
        let problems = load(url.clone()).unwrap_err();
        assert!(problems.to_string().contains("ZPACK_SECRET"), "{problems}");
        let complete = url.with("ZPACK_SECRET", "the secret of the bridge").with("VELOCITY_EDGE_IP", "203.0.113.7");
        let config = load(complete.clone()).unwrap();
        assert!(config.bridge.is_some() && config.edge_ip == Some(Ipv4Addr::new(203, 0, 113, 7)));
        for (name, value) in
            [("VELOCITY_URL", "10.70.0.241:8081"), ("ZPACK_SECRET", "short"), ("VELOCITY_EDGE_IP", "2001:db8::1")]
        {
            let problems = load(complete.clone().with(name, value)).unwrap_err();
            assert!(problems.to_string().contains(name), "{problems}");
        }
    }
}
