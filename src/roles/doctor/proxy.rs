//! The checks of the game proxy. They change nothing.

use super::check::{Check, chain};
use crate::config::VelocityConfig;
use crate::kernel::{Classify, Clock, Failure};
use crate::ports::ProxyError;
use crate::roles::wiring;

pub(super) async fn velocity(config: VelocityConfig) -> Vec<Check> {
    const NAME: &str = "velocity";
    let proxy = match wiring::game_proxy(&config, &Clock::System).map(|bridge| bridge.proxy) {
        Ok(Some(proxy)) => proxy,
        Ok(None) => {
            let detail = "no VELOCITY_URL: Minecraft servers are not registered at a proxy";
            return vec![Check::warn(NAME, detail, "set VELOCITY_URL and ZPACK_SECRET")];
        }
        Err(error) => return vec![Check::fail(NAME, format!("{error:#}"), "correct VELOCITY_URL")],
    };
    let check = match proxy.list().await {
        Ok(listing) => {
            let age = listing.uptime.map(|uptime| format!(", up for {} s", uptime.as_secs())).unwrap_or_default();
            Check::pass(NAME, format!("the bridge answers, {} servers registered{age}", listing.servers.len()))
        }
        Err(error @ ProxyError::Unsupported { .. }) => Check::warn(
            NAME,
            chain(&error),
            "update the bridge, or correct VELOCITY_URL; until then, lost registrations go unnoticed",
        ),
        Err(error) => Check::fail(NAME, chain(&error), advice(error.failure())),
    };
    let edge = match config.edge_ip {
        Some(address) => Check::pass(NAME, format!("players reach it at {address}")),
        None => Check::warn(
            NAME,
            "no VELOCITY_EDGE_IP: no address records of Minecraft servers are published",
            "set VELOCITY_EDGE_IP",
        ),
    };
    vec![check, edge]
}

const fn advice(failure: Failure) -> &'static str {
    match failure {
        Failure::Transient | Failure::Ambiguous | Failure::Busy => {
            "check that Velocity is running, or correct VELOCITY_URL"
        }
        Failure::NeedsOperator => "set the same ZPACK_SECRET for zpack and the bridge",
        Failure::Permanent => "check the log of Velocity, and check VELOCITY_URL",
    }
}
