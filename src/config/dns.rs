//! The two DNS providers that hold the records of servers: Cloudflare for the public zone, Technitium for the internal
//! one.

use std::net::Ipv4Addr;
use std::time::Duration;

use url::Url;

use super::environment::reach;
use super::key::{Key, keys};
use super::parse::{base_url, clip};
use super::reader::{Reader, Reported, Settings};
use super::zone::ZPACK_ZONE;
use crate::kernel::{Reach, StoredSecret};

keys! { "DNS";
    /// The Cloudflare API.
    CLOUDFLARE_API_URL =
        Key::default("CLOUDFLARE_API_URL", "https://api.cloudflare.com/client/v4").expects("an http or https URL");
    /// A token that may edit the records of the zone. Without it, nothing is published at Cloudflare. A token from a
    /// file is read again when it is rejected.
    CLOUDFLARE_API_TOKEN = Key::optional("CLOUDFLARE_API_TOKEN")
        .secret()
        .expects("a token with DNS Write on the zone")
        .example("change-me-cloudflare-token");
    /// The id of the zone, not its name. Required with `CLOUDFLARE_API_TOKEN`.
    CLOUDFLARE_ZONE_ID = Key::optional("CLOUDFLARE_ZONE_ID")
        .expects("32 hexadecimal digits")
        .example("0123456789abcdef0123456789abcdef");
    /// The public IPv4 address of the edge; the address records at Cloudflare point to it.
    CLOUDFLARE_EDGE_IP = Key::optional("CLOUDFLARE_EDGE_IP").expects("an IPv4 address").example("203.0.113.10");
    /// The root URL of the Technitium server. Without it, nothing is published there.
    TECHNITIUM_API_URL =
        Key::optional("TECHNITIUM_API_URL").expects("an http or https URL").example("http://technitium.example.com:5380/");
    /// A token with the permissions View, Modify and Delete on the zone. Required with `TECHNITIUM_API_URL`. A token
    /// from a file is read again when it is rejected.
    TECHNITIUM_API_TOKEN = Key::optional("TECHNITIUM_API_TOKEN")
        .secret()
        .expects("a token")
        .example("change-me-technitium-token");
    /// The timeout of a request to a DNS provider.
    DNS_REQUEST_TIMEOUT_MS = Key::default("DNS_REQUEST_TIMEOUT_MS", "10000").number(100..=60_000);
}

/// The public zone, at Cloudflare.
#[derive(Clone, Debug)]
pub struct CloudflareConfig {
    /// The base URL of the API.
    pub url: Url,
    /// The token.
    pub token: StoredSecret,
    /// The id of the zone.
    pub zone_id: String,
}

/// The internal zone, at Technitium.
#[derive(Clone, Debug)]
pub struct TechnitiumConfig {
    /// The root URL of the server.
    pub url: Url,
    /// The token.
    pub token: StoredSecret,
}

/// The configured DNS providers. Each of them requires `ZPACK_ZONE`.
#[derive(Clone, Debug)]
pub struct DnsConfig {
    /// Public DNS.
    pub cloudflare: Option<CloudflareConfig>,
    /// Internal DNS.
    pub technitium: Option<TechnitiumConfig>,
    /// The public address of the edge.
    pub public_ip: Option<Ipv4Addr>,
    /// The timeout of a request.
    pub request_timeout: Duration,
    /// Which addresses may be called.
    pub reach: Reach,
}

impl Settings for DnsConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let url = env.get(&CLOUDFLARE_API_URL, base_url);
        let token = env.optional_stored_secret(&CLOUDFLARE_API_TOKEN, 1);
        let zone_id = env.optional(&CLOUDFLARE_ZONE_ID, zone_id);
        let public_ip = env.optional(&CLOUDFLARE_EDGE_IP, |text| {
            text.parse::<Ipv4Addr>().map_err(|_| format!("`{}` is not an IPv4 address", clip(text)))
        });
        let technitium_url = env.optional(&TECHNITIUM_API_URL, base_url);
        let technitium_token = env.optional_stored_secret(&TECHNITIUM_API_TOKEN, 1);
        let request_timeout = env.millis(&DNS_REQUEST_TIMEOUT_MS);
        let reach = reach(env);
        let zone = super::ZoneConfig::read(env);
        let cloudflare = match (token?, zone_id?) {
            (Some(token), Some(zone_id)) => Some(CloudflareConfig { url: url?, token, zone_id }),
            (Some(_), None) => return Err(env.missing(&CLOUDFLARE_ZONE_ID)),
            (None, _) => None,
        };
        let technitium = match (technitium_url?, technitium_token?) {
            (Some(url), Some(token)) => Some(TechnitiumConfig { url, token }),
            (Some(_), None) => return Err(env.missing(&TECHNITIUM_API_TOKEN)),
            (None, _) => None,
        };
        if zone?.zone.is_none() && (cloudflare.is_some() || technitium.is_some()) {
            return Err(env.missing(&ZPACK_ZONE));
        }
        Ok(Self { cloudflare, technitium, public_ip: public_ip?, request_timeout: request_timeout?, reach: reach? })
    }
}

fn zone_id(text: &str) -> Result<String, String> {
    let is_id = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id { Ok(text.to_ascii_lowercase()) } else { Err(format!("`{}` is not a zone id", clip(text))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MapSource;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_provider_is_configured_completely_or_not_at_all() {
        let load = |source: &MapSource| DnsConfig::load(source);
        let nothing = load(&MapSource::default()).unwrap();
        assert!(nothing.cloudflare.is_none() && nothing.technitium.is_none());
        let complete = MapSource::default()
            .with("ZPACK_ZONE", "play.example.com")
            .with("CLOUDFLARE_API_TOKEN", "a token")
            .with("CLOUDFLARE_ZONE_ID", ID)
            .with("CLOUDFLARE_EDGE_IP", "203.0.113.7")
            .with("TECHNITIUM_API_URL", "http://10.0.0.1:5380")
            .with("TECHNITIUM_API_TOKEN", "another");
        let config = load(&complete).unwrap();
        assert!(config.technitium.is_some());
        assert_eq!(config.cloudflare.map(|cloudflare| cloudflare.zone_id).as_deref(), Some(ID));
        for (name, value) in [
            ("ZPACK_ZONE", ""),
            ("CLOUDFLARE_ZONE_ID", ""),
            ("CLOUDFLARE_ZONE_ID", "play.example.com"),
            ("CLOUDFLARE_EDGE_IP", "2001:db8::1"),
            ("TECHNITIUM_API_TOKEN", ""),
            ("TECHNITIUM_API_URL", "10.0.0.1:5380"),
        ] {
            let problems = load(&complete.clone().with(name, value)).unwrap_err();
            assert!(problems.to_string().contains(name), "{problems}");
        }
    }
}
