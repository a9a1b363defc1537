//! Settings of the Cloudflare client.

use std::time::Duration;

use url::Url;

use crate::adapters::http::ClientSettings;
use crate::adapters::tls::TlsVerify;
use crate::adapters::token;
use crate::kernel::{DnsName, Reach, StoredSecret};

/// The settings of a client.
#[derive(Clone, Debug)]
pub struct CloudflareSettings {
    /// The base of the API, ending in `/client/v4`.
    pub base_url: Url,
    /// The token; if it is in a file, the file is read again when the token is refused.
    pub token: StoredSecret,
    /// The id of the zone, 32 hexadecimal digits.
    pub zone_id: String,
    /// The name of the zone.
    pub zone: DnsName,
    /// The timeout of a call.
    pub timeout: Duration,
    /// How long a refused token is not sent again.
    pub cool_down: Duration,
    /// Which addresses may be called.
    pub reach: Reach,
}

impl CloudflareSettings {
    /// How long a refused token is not sent again, unless it is set otherwise.
    pub const COOL_DOWN: Duration = token::COOL_DOWN;

    pub(super) fn client(&self) -> ClientSettings {
        let tls = if self.base_url.scheme() == "http" { TlsVerify::Plain } else { TlsVerify::SystemRoots };
        ClientSettings {
            peer: "cloudflare",
            connect_timeout: self.timeout / 2,
            keep_idle: Some(Duration::from_secs(30)),
            tls,
            reach: self.reach,
        }
    }
}
