//! Where a role without an API serves its metrics.

use std::net::SocketAddr;

use super::key::{Key, keys};
use super::reader::{Reader, Reported, Settings};
use super::tokens::PROM_SD_TOKEN;
use crate::kernel::Secret;

keys! { "Metrics";
    /// The address on which a worker serves `/metrics`; each worker of a machine needs a port of its own. Without it, a
    /// worker serves no metrics; the API serves its own on its own port. Outside the loopback interface,
    /// `PROM_SD_TOKEN` is required and Prometheus must send it.
    METRICS_LISTEN = Key::optional("METRICS_LISTEN").expects("an IP address and a port").example("127.0.0.1:9464");
}

/// Where a role without an API serves its metrics.
#[derive(Clone, Debug)]
pub struct MetricsConfig {
    /// The address to listen on, if any.
    pub listen: Option<SocketAddr>,
    /// The token Prometheus must send, unless only this machine can connect.
    pub token: Option<Secret>,
}

impl Settings for MetricsConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let listen = env.optional(&METRICS_LISTEN, str::parse::<SocketAddr>);
        let token = env.optional_secret(&PROM_SD_TOKEN, 16);
        let (listen, token) = (listen?, token?);
        let open = listen.is_some_and(|address| !address.ip().is_loopback());
        if open && token.is_none() {
            let why = "outside the loopback interface, metrics are served only to requests that carry this token";
            return Err(env.impossible(&[&METRICS_LISTEN, &PROM_SD_TOKEN], why));
        }
        Ok(Self { listen, token: token.filter(|_| open) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MapSource;

    #[test]
    fn metrics_for_other_machines_need_a_token() {
        let listen = |address: &str| MapSource::default().with("METRICS_LISTEN", address);
        let load = |source: &MapSource| MetricsConfig::load(source);
        assert!(load(&MapSource::default()).unwrap().listen.is_none());
        assert!(load(&listen("127.0.0.1:9464")).unwrap().token.is_none());
        assert!(load(&listen("0.0.0.0:9464")).is_err());
        assert!(load(&listen("9464")).is_err());
        let open = load(&listen("0.0.0.0:9464").with("PROM_SD_TOKEN", "sixteen characters")).unwrap();
        assert!(open.token.is_some());
    }
}
