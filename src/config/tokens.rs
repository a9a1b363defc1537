//! What other services prove themselves with.

use super::key::{Key, keys};
use super::reader::{Noted, Reader, Settings};
use crate::kernel::Secret;

keys! { "Service tokens";
    /// Proves that a request comes from one of our own services. Without it, no request passes as internal.
    INTERNAL_API_TOKEN = Key::optional("INTERNAL_API_TOKEN")
        .aliases(&["ZLH_INTERNAL_API_TOKEN"])
        .secret()
        .expects("at least 16 characters")
        .example("change-me-internal-token");
    /// Proves that a request comes from Prometheus. Without it, discovery and metrics are closed to it.
    PROM_SD_TOKEN = Key::optional("PROM_SD_TOKEN")
        .secret()
        .expects("at least 16 characters")
        .example("change-me-discovery-token");
}

/// What other services prove themselves with. Absent means that nobody passes.
#[derive(Clone, Debug)]
pub struct TokensConfig {
    /// The token of our own services.
    pub internal: Option<Secret>,
    /// The token of Prometheus.
    pub discovery: Option<Secret>,
}

impl Settings for TokensConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Noted> {
        let internal = env.optional_secret(&INTERNAL_API_TOKEN, 16);
        let discovery = env.optional_secret(&PROM_SD_TOKEN, 16);
        let (internal, discovery) = (internal?, discovery?);
        // One token for both would let Prometheus act as an internal service.
        if internal.as_ref().zip(discovery.as_ref()).is_some_and(|(a, b)| a.matches(b.expose())) {
            return Err(env.impossible(&[&INTERNAL_API_TOKEN, &PROM_SD_TOKEN], "the two tokens must differ"));
        }
        Ok(Self { internal, discovery })
    }
}
