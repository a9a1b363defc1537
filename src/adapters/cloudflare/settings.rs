//! Where the API is, and as whom it is called.

use std::time::Duration;

use url::Url;

use crate::adapters::http::ClientSettings;
use crate::adapters::tls::TlsVerify;
use crate::kernel::{DnsName, StoredSecret};

/// The settings of a client.
#[derive(Clone, Debug)]
pub struct CloudflareSettings {
    /// The base of the API, ending in `/client/v4`.
    pub base_url: Url,
    /// The token; one in a file is read again when it is refused.
    pub token: StoredSecret,
    /// The id of the zone, 32 hexadecimal digits.
    pub zone_id: String,
    /// The name of the zone.
    pub zone: DnsName,
    /// How long a call may take.
    pub timeout: Duration,
    /// How long nothing is sent after the token was refused.
    pub denial: Duration,
}

impl CloudflareSettings {
    /// How long nothing is sent after the token was refused, unless it is set otherwise.
    pub const DENIAL: Duration = Duration::from_secs(60);

    pub(super) fn client(&self) -> ClientSettings {
        let tls = if self.base_url.scheme() == "http" { TlsVerify::Plain } else { TlsVerify::SystemRoots };
        ClientSettings {
            peer: "cloudflare",
            connect_timeout: self.timeout / 2,
            keep_idle: Some(Duration::from_secs(30)),
            tls,
        }
    }
}
