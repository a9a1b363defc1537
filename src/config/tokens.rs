//! The tokens with which other services authenticate.

use super::key::{Key, keys};
use super::reader::{Reader, Reported, Settings};
use crate::kernel::Secret;

keys! { "Service tokens";
    /// The token of our own services. Without it, no request is accepted as internal.
    INTERNAL_API_TOKEN = Key::optional("INTERNAL_API_TOKEN")
        .aliases(&["ZLH_INTERNAL_API_TOKEN"])
        .secret()
        .expects("at least 16 characters")
        .example("change-me-internal-token");
    /// The token of Prometheus. Without it, service discovery and metrics are not available to it.
    PROM_SD_TOKEN = Key::optional("PROM_SD_TOKEN")
        .secret()
        .expects("at least 16 characters")
        .example("change-me-discovery-token");
}

/// The tokens with which other services authenticate. A service without a token is refused.
#[derive(Clone, Debug)]
pub struct TokensConfig {
    /// The token of our own services.
    pub internal: Option<Secret>,
    /// The token of Prometheus.
    pub discovery: Option<Secret>,
}

impl Settings for TokensConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let internal = env.optional_secret(&INTERNAL_API_TOKEN, 16);
        let discovery = env.optional_secret(&PROM_SD_TOKEN, 16);
        let (internal, discovery) = (internal?, discovery?);
        // With one token for both, Prometheus could act as an internal service.
        if internal.as_ref().zip(discovery.as_ref()).is_some_and(|(a, b)| a.matches(b.expose())) {
            return Err(env.impossible(&[&INTERNAL_API_TOKEN, &PROM_SD_TOKEN], "the two tokens must differ"));
        }
        Ok(Self { internal, discovery })
    }
}
