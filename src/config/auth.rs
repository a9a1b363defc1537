//! How access tokens are signed.

use std::time::Duration;

use super::key::{Key, keys};
use super::reader::{Reader, Reported, Settings};
use crate::kernel::Secret;

keys! { "Accounts";
    /// The key that signs the access tokens of customers and admins. Changing it signs everyone out.
    API_AUTH_SECRET = Key::required("API_AUTH_SECRET")
        .secret()
        .expects("at least 32 characters, such as the output of `openssl rand -hex 32`")
        .example("change-me-to-the-output-of-openssl-rand-hex-32");
    /// How long an access token is valid.
    API_AUTH_TTL_SECONDS = Key::default("API_AUTH_TTL_SECONDS", "86400").number(60..=2_678_400).in_unit(" seconds");
}

/// How access tokens are signed.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// The signing key.
    pub secret: Secret,
    /// How long a token is valid.
    pub token_ttl: Duration,
}

impl Settings for AuthConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let secret = env.secret(&API_AUTH_SECRET, 32);
        let token_ttl = env.seconds(&API_AUTH_TTL_SECONDS);
        Ok(Self { secret: secret?, token_ttl: token_ttl? })
    }
}
