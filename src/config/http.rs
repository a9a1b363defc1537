//! The HTTP listener of the API, and which clients it trusts.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use url::Url;

use super::key::{Key, keys};
use super::parse::{base_url, clip, list};
use super::reader::{Reader, Reported, Settings};

keys! { "HTTP API";
    /// The port the API listens on.
    PORT = Key::default("PORT", "4000").number(0..=65_535).in_unit(", 0 for any free port");
    /// The address the API listens on. The reverse proxy usually runs on another machine.
    BIND_ADDRESS = Key::default("BIND_ADDRESS", "0.0.0.0").expects("an IP address");
    /// The URL at which clients reach the API, for responses that contain an absolute URL.
    PUBLIC_BASE_URL = Key::optional("PUBLIC_BASE_URL").expects("an http or https URL").example("https://api.example.com");
    /// Reverse proxies whose `X-Forwarded-For` header is trusted. Without it, a client is identified by the address of
    /// its connection.
    TRUSTED_PROXIES = Key::optional("TRUSTED_PROXIES").expects("IP networks, comma separated").example("10.0.0.0/8,fd00::/8");
    /// The maximum number of open connections from one address. It does not apply to trusted proxies, which connect for
    /// many clients.
    MAX_CONNECTIONS_PER_ADDRESS = Key::default("MAX_CONNECTIONS_PER_ADDRESS", "256").number(1..=65_536);
    /// Web origins that may call the API from a browser. Without it, none may.
    CORS_ORIGINS = Key::optional("CORS_ORIGINS").expects("exact origins, comma separated").example("https://portal.example.com");
}

/// The HTTP listener of the API, and which clients it trusts.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// The address and port to listen on.
    pub listen: SocketAddr,
    /// The URL at which clients reach the API.
    pub public_base_url: Option<Url>,
    /// Peers whose forwarded address is trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// The maximum number of open connections from one address.
    pub connections_per_address: u32,
    /// Allowed origins as browsers send them, such as `https://portal.example.com`.
    pub cors_origins: Vec<String>,
}

impl Settings for HttpConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Reported> {
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

/// A network or a single address.
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
    fn an_origin_is_scheme_host_and_port_only() {
        assert_eq!(origin("https://Portal.example.com/").unwrap(), "https://portal.example.com");
        for text in ["*", "portal.example.com", "https://portal.example.com/app", "null"] {
            assert!(origin(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_trusted_proxy_is_a_network_or_an_address() {
        assert!(network("10.0.0.0/8").unwrap().contains(&"10.1.2.3".parse::<IpAddr>().unwrap()));
        assert!(network("::1").is_ok());
        assert!(network("opnsense.lan").is_err());
    }
}
