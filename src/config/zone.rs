//! The DNS zone servers are published in.

use super::key::{Key, keys};
use super::parse::clip;
use super::reader::{Noted, Reader, Settings};
use crate::kernel::Hostname;

keys! { "Zone";
    /// The DNS zone of the servers; the address of a server is its host name in this zone.
    ZPACK_ZONE = Key::optional("ZPACK_ZONE")
        .aliases(&["CLOUDFLARE_ZONE_NAME", "TECHNITIUM_ZONE", "CF_ZONE_NAME", "DNS_ZONE"])
        .expects("a domain name")
        .example("play.example.com");
}

/// The DNS zone servers are published in.
#[derive(Clone, Debug)]
pub struct ZoneConfig {
    /// Its name, in lower case and without the last dot.
    pub zone: Option<String>,
}

impl Settings for ZoneConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Noted> {
        Ok(Self { zone: env.optional(&ZPACK_ZONE, domain)? })
    }
}

fn domain(text: &str) -> Result<String, String> {
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    let labels_fit = name.split('.').all(|label| label.parse::<Hostname>().is_ok());
    if labels_fit && name.contains('.') && name.len() <= 190 {
        Ok(name)
    } else {
        Err(format!("`{}` is not a domain name", clip(text)))
    }
}
