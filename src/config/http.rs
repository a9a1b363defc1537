//! The API's door.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use url::Url;

use super::key::{Key, keys};
use super::parse::{base_url, clip, list};
use super::reader::{Noted, Reader, Settings};

keys! { "HTTP API";
    /// The port the API listens on.
    PORT = Key::default("PORT", "4000").number(0..=65_535).in_unit(", 0 for any free port");
    /// The address the API listens on. The reverse proxy usually runs on another machine.
    BIND_ADDRESS = Key::default("BIND_ADDRESS", "0.0.0.0").expects("an IP address");
    /// How clients reach the API from outside; used where an answer needs an absolute address.
    PUBLIC_BASE_URL = Key::optional("PUBLIC_BASE_URL").expects("an http or https URL").example("https://api.example.com");
    /// Reverse proxies whose `X-Forwarded-For` is believed. Without it the address of the connection counts.
    TRUSTED_PROXIES = Key::optional("TRUSTED_PROXIES").expects("IP networks, comma separated").example("10.0.0.0/8,fd00::/8");
    /// How many connections one address may have open. Trusted proxies, which speak for many clients, have no such bound.
    MAX_CONNECTIONS_PER_ADDRESS = Key::default("MAX_CONNECTIONS_PER_ADDRESS", "256").number(1..=65_536);
    /// Web origins that may call the API from a browser. Without it none may.
    CORS_ORIGINS = Key::optional("CORS_ORIGINS").expects("exact origins, comma separated").example("https://portal.example.com");
}

/// The API's door.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// How clients reach the API from outside.
    pub public_base_url: Option<Url>,
    /// Peers whose forwarded address is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Connections of one address.
    pub connections_per_address: u32,
    /// Origins as browsers send them, such as `https://portal.example.com`.
    pub cors_origins: Vec<String>,
}

impl Settings for HttpConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Noted> {
        let port = env.number(&PORT);
        let address = env.get(&BIND_ADDRESS, str::parse::<IpAddr>);
        let public_base_url = env.optional(&PUBLIC_BASE_URL, base_url);
        let trusted_proxies = env.optional(&TRUSTED_PROXIES, |text| list(text, network));
        let connections_per_address = env.number(&MAX_CONNECTIONS_PER_ADDRESS);
        let cors_origins = env.optional(&CORS_ORIGINS, |text| list(text, origin));
        Ok(Self {
            listen: SocketAddr::new(address?, port?),
            public_base_url: public_base_url?,
            trusted_proxies: trusted_proxies?.unwrap_or_default(),
            connections_per_address: connections_per_address?,
            cors_origins: cors_origins?.unwrap_or_default(),
        })
    }
}

/// A network, or a single address.
fn network(text: &str) -> Result<IpNet, String> {
    let single = text.parse::<IpAddr>().map(IpNet::from);
    single.or_else(|_| text.parse::<IpNet>()).map_err(|_| format!("`{}` is not an IP network", clip(text)))
}

fn origin(text: &str) -> Result<String, String> {
    let url = base_url(text)?;
    let origin = url.origin().ascii_serialization();
    let exact = text.trim_end_matches('/').eq_ignore_ascii_case(&origin);
    if exact { Ok(origin) } else { Err(format!("`{}` is not an origin; did you mean {origin}", clip(text))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_exact() {
        assert_eq!(origin("https://Portal.example.com/").unwrap(), "https://portal.example.com");
        for text in ["*", "portal.example.com", "https://portal.example.com/app", "null"] {
            assert!(origin(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_proxy_is_a_network_or_an_address() {
        assert!(network("10.0.0.0/8").unwrap().contains(&"10.1.2.3".parse::<IpAddr>().unwrap()));
        assert!(network("::1").is_ok());
        assert!(network("opnsense.lan").is_err());
    }
}
