//! The check of Traefik, which polls us. It changes nothing.

use super::check::{Check, chain};
use super::peers::connect;
use crate::config::{DatabaseConfig, RedisConfig};
use crate::kernel::{Clock, short_span};
use crate::observe::router_polls::StoredPolls;
use crate::ports::{RouterPolls, poll_counts};
use crate::roles::wiring;
use crate::servers::ports;

const NAME: &str = "traefik";
const ADVICE: &str =
    "start Traefik, and let its HTTP provider poll /internal/traefik/config with the internal token (docs/edge.md)";

pub(super) async fn traefik((database, redis): (DatabaseConfig, RedisConfig)) -> Vec<Check> {
    // A store that does not answer is reported by its own check.
    let (Ok(db), Ok(lists)) = (connect(&database).await, wiring::redis(&redis)) else { return Vec::new() };
    let is_needed = match ports::is_any_held(&db).await {
        Ok(is_needed) => is_needed,
        Err(_) => return Vec::new(),
    };
    let last = match StoredPolls::new(lists.connection()).last().await {
        Ok(last) => last,
        Err(error) => return vec![Check::warn(NAME, chain(&error), "check Redis")],
    };
    let now = Clock::System.now();
    let check = match last {
        Some(poll) => {
            let age = short_span(now.since(poll.at));
            let detail = format!("last asked for its routes {age} ago, document {}", poll.etag);
            if poll_counts(poll.at, now) { Check::pass(NAME, detail) } else { missing(is_needed, detail) }
        }
        None => missing(is_needed, "has not asked for its routes for an hour".to_owned()),
    };
    vec![check]
}

/// Without a public port in use, no one needs Traefik.
fn missing(is_needed: bool, detail: String) -> Check {
    if is_needed {
        Check::fail(NAME, format!("{detail}, and servers have public ports"), ADVICE)
    } else {
        Check::pass(NAME, format!("{detail}; no server has a public port"))
    }
}
