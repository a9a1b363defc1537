//! The DNS zone in which servers are published.

use super::key::{Key, keys};
use super::parse::clip;
use super::reader::{Reader, Reported, Settings};
use crate::kernel::{DnsName, Hostname};

keys! { "Zone";
    /// The DNS zone of the servers. The address of a server is its host name in this zone.
    ZPACK_ZONE = Key::optional("ZPACK_ZONE")
        .aliases(&["CLOUDFLARE_ZONE_NAME", "TECHNITIUM_ZONE", "CF_ZONE_NAME", "DNS_ZONE"])
        .expects("a domain name")
        .example("play.example.com");
    /// The domain of the browser IDEs: a dev container gets the host name `dev-<vmid>` in it. It must not share a
    /// domain with the portal, whose cookies the IDEs could then read.
    IDE_HOST_SUFFIX = Key::optional("IDE_HOST_SUFFIX").expects("a domain name").example("ide.example.net");
}

/// The DNS zone in which servers are published.
#[derive(Clone, Debug)]
pub struct ZoneConfig {
    /// Its name.
    pub zone: Option<DnsName>,
    /// The domain of the browser IDEs.
    pub ide_suffix: Option<DnsName>,
}

impl Settings for ZoneConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let zone = env.optional(&ZPACK_ZONE, domain);
        let ide_suffix = env.optional(&IDE_HOST_SUFFIX, domain);
        Ok(Self { zone: zone?, ide_suffix: ide_suffix? })
    }
}

fn domain(text: &str) -> Result<DnsName, String> {
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    let labels_fit = name.split('.').all(|label| label.parse::<Hostname>().is_ok());
    let fits = labels_fit && name.contains('.') && name.len() <= 190;
    let name = if fits { name.parse().ok() } else { None };
    name.ok_or_else(|| format!("`{}` is not a domain name", clip(text)))
}
