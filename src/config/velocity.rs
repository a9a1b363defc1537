//! The game proxy that Minecraft players connect to.

use std::net::Ipv4Addr;
use std::time::Duration;

use url::Url;

use super::environment::reach;
use super::key::{Key, keys};
use super::parse::{base_url, clip};
use super::reader::{Reader, Reported, Settings};
use crate::kernel::{Reach, StoredSecret};

keys! { "Velocity";
    /// The zpack bridge in the Velocity proxy. Without it, Minecraft servers are not registered at a proxy.
    VELOCITY_URL = Key::optional("VELOCITY_URL").expects("an http or https URL").example("http://velocity.example.com:8081/");
    /// The secret with which zpack and the bridge authenticate to each other. Required with `VELOCITY_URL`. A secret
    /// from a file is read again when it is rejected, and when a callback of the bridge carries a different one.
    ZPACK_SECRET = Key::optional("ZPACK_SECRET")
        .secret()
        .expects("at least 16 characters")
        .example("change-me-bridge-secret");
    /// The public IPv4 address of the proxy; the address records of Minecraft servers point to it.
    VELOCITY_EDGE_IP = Key::optional("VELOCITY_EDGE_IP").expects("an IPv4 address").example("203.0.113.10");
    /// The port of the proxy at that address; the SRV records of Minecraft servers contain it.
    VELOCITY_EDGE_PORT = Key::default("VELOCITY_EDGE_PORT", "25565").number(1..=65_535);
    /// The timeout of a request to the bridge.
    VELOCITY_REQUEST_TIMEOUT_MS = Key::default("VELOCITY_REQUEST_TIMEOUT_MS", "5000").number(100..=60_000);
}

/// The bridge in the proxy.
#[derive(Clone, Debug)]
pub struct VelocityBridge {
    /// Its root URL.
    pub url: Url,
    /// The shared secret.
    pub secret: StoredSecret,
}

/// The game proxy that Minecraft players connect to.
#[derive(Clone, Debug)]
pub struct VelocityConfig {
    /// Where servers are registered; without it, they are not.
    pub bridge: Option<VelocityBridge>,
    /// The secret that callbacks of the bridge must carry; without it, none is accepted.
    pub secret: Option<StoredSecret>,
    /// The public address of the proxy.
    pub edge_ip: Option<Ipv4Addr>,
    /// The port of the proxy at that address.
    pub edge_port: u16,
    /// The timeout of a request.
    pub request_timeout: Duration,
    /// Which addresses may be called.
    pub reach: Reach,
}

impl Settings for VelocityConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let url = env.optional(&VELOCITY_URL, base_url);
        let secret = env.optional_stored_secret(&ZPACK_SECRET, 16);
        let edge_ip = env.optional(&VELOCITY_EDGE_IP, |text| {
            text.parse::<Ipv4Addr>().map_err(|_| format!("`{}` is not an IPv4 address", clip(text)))
        });
        let edge_port = env.number(&VELOCITY_EDGE_PORT);
        let request_timeout = env.millis(&VELOCITY_REQUEST_TIMEOUT_MS);
        let reach = reach(env);
        let secret = secret?;
        let bridge = match (url?, secret.clone()) {
            (Some(url), Some(secret)) => Some(VelocityBridge { url, secret }),
            (Some(_), None) => return Err(env.missing(&ZPACK_SECRET)),
            (None, _) => None,
        };
        Ok(Self {
            bridge,
            secret,
            edge_ip: edge_ip?,
            edge_port: edge_port?,
            request_timeout: request_timeout?,
            reach: reach?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MapSource;

    #[test]
    fn a_bridge_has_a_url_and_a_secret_or_does_not_exist() {
        let load = |source: MapSource| VelocityConfig::load(&source);
        assert!(load(MapSource::default()).unwrap().bridge.is_none());
        let called = load(MapSource::default().with("ZPACK_SECRET", "the secret of the bridge")).unwrap();
        assert!(called.bridge.is_none() && called.secret.is_some(), "a bridge that only calls us");
        let url = MapSource::default().with("VELOCITY_URL", "http://velocity.example.com:8081");
        let problems = load(url.clone()).unwrap_err();
        assert!(problems.to_string().contains("ZPACK_SECRET"), "{problems}");
        let complete = url.with("ZPACK_SECRET", "the secret of the bridge").with("VELOCITY_EDGE_IP", "203.0.113.7");
        let config = load(complete.clone()).unwrap();
        assert!(config.bridge.is_some() && config.edge_ip == Some(Ipv4Addr::new(203, 0, 113, 7)));
        for (name, value) in [
            ("VELOCITY_URL", "velocity.example.com:8081"),
            ("ZPACK_SECRET", "short"),
            ("VELOCITY_EDGE_IP", "2001:db8::1"),
        ] {
            let problems = load(complete.clone().with(name, value)).unwrap_err();
            assert!(problems.to_string().contains(name), "{problems}");
        }
    }
}
