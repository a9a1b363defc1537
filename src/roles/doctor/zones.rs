//! The checks of the DNS providers. They change nothing.

use std::time::Duration;

use super::check::{Check, chain};
use crate::config::{DnsConfig, ZoneConfig};
use crate::kernel::{Clock, Timestamp};
use crate::ports::{DnsZone, ZoneError, ZoneHealth};
use crate::roles::wiring;

/// A token that expires within this time is reported (docs/contracts/edge.md A7).
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

pub(super) async fn cloudflare((zone, dns): (ZoneConfig, DnsConfig)) -> Vec<Check> {
    const NAME: &str = "cloudflare";
    let client = match wiring::cloudflare(&zone, &dns, &Clock::System) {
        Ok(Some(client)) => client,
        Ok(None) => {
            let detail = "no CLOUDFLARE_API_TOKEN: servers are not published in public DNS";
            return vec![Check::warn(NAME, detail, "set CLOUDFLARE_API_TOKEN and CLOUDFLARE_ZONE_ID")];
        }
        Err(error) => return vec![Check::fail(NAME, format!("{error:#}"), "correct CLOUDFLARE_API_URL")],
    };
    let edge = match dns.public_ip {
        Some(address) => Check::pass(NAME, format!("its records point to {address}")),
        None => Check::warn(
            NAME,
            "no CLOUDFLARE_EDGE_IP: its records point to VELOCITY_EDGE_IP, if that is set",
            "set CLOUDFLARE_EDGE_IP to the public address of the edge",
        ),
    };
    vec![asked(NAME, client.check().await, "CLOUDFLARE"), edge]
}

pub(super) async fn technitium((zone, dns): (ZoneConfig, DnsConfig)) -> Vec<Check> {
    const NAME: &str = "technitium";
    match wiring::technitium(&zone, &dns, &Clock::System) {
        Ok(Some(client)) => vec![asked(NAME, client.check().await, "TECHNITIUM")],
        Ok(None) => {
            let detail = "no TECHNITIUM_API_URL: servers are not published in internal DNS";
            vec![Check::warn(NAME, detail, "set TECHNITIUM_API_URL and TECHNITIUM_API_TOKEN")]
        }
        Err(error) => vec![Check::fail(NAME, format!("{error:#}"), "correct TECHNITIUM_API_URL")],
    }
}

fn asked(name: &'static str, answer: Result<ZoneHealth, ZoneError>, prefix: &str) -> Check {
    match answer {
        Ok(health) => healthy(name, health.token_expires_at, Clock::System.now()),
        Err(error) => Check::fail(name, chain(&error), advice(&error, prefix)),
    }
}

fn healthy(name: &'static str, expires_at: Option<Timestamp>, now: Timestamp) -> Check {
    match expires_at {
        Some(at) if at.since(now) < SOON => {
            let days = at.since(now).as_secs() / (24 * 3600);
            Check::warn(name, format!("the token expires in {days} days, at {at}"), "create a new one before that")
        }
        Some(at) => Check::pass(name, format!("accepts the token, which expires at {at}")),
        None => Check::pass(name, "accepts the token"),
    }
}

fn advice(error: &ZoneError, prefix: &str) -> String {
    match error {
        ZoneError::Unauthorized { .. } => format!("set {prefix}_API_TOKEN to a token with permissions on the zone"),
        ZoneError::Misconfigured { .. } => format!("correct {prefix}_ZONE_ID, ZPACK_ZONE or {prefix}_API_URL"),
        ZoneError::RateLimited { .. } | ZoneError::Busy { .. } => "wait, then try again".to_owned(),
        ZoneError::Unreachable { .. } | ZoneError::NoAnswer { .. } => {
            format!("check that it is running, or correct {prefix}_API_URL")
        }
        ZoneError::Quota { .. } | ZoneError::Conflict { .. } | ZoneError::Gone { .. } | ZoneError::Refused { .. } => {
            "check its log".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roles::doctor::check::Status;

    #[test]
    fn a_token_that_expires_within_two_weeks_is_reported() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let in_days = |days: u64| healthy("cloudflare", Some(now.after(Duration::from_secs(days * 24 * 3600))), now);
        assert_eq!(in_days(15).status, Status::Pass);
        let soon = in_days(13);
        assert_eq!(soon.status, Status::Warn);
        assert!(soon.detail.contains("in 13 days"), "{}", soon.detail);
        assert_eq!(healthy("technitium", None, now).status, Status::Pass);
    }
}
