//! Every setting of zpack, grouped by section.

use super::key::Group;
use super::{
    agent, auth, catalog, database, dns, environment, http, jobs, lease, limits, log, metrics, poller, provision,
    proxmox, redis, retention, tokens, velocity, zone,
};

/// Every setting of zpack, in the order of `.env.example`.
pub fn groups() -> Vec<Group> {
    vec![
        environment::GROUP,
        log::GROUP,
        database::GROUP,
        redis::GROUP,
        http::GROUP,
        auth::GROUP,
        tokens::GROUP,
        metrics::GROUP,
        catalog::GROUP,
        limits::GROUP,
        zone::GROUP,
        velocity::GROUP,
        dns::GROUP,
        proxmox::GROUP,
        agent::GROUP,
        poller::GROUP,
        provision::GROUP,
        retention::GROUP,
        jobs::GROUP,
        lease::GROUP,
    ]
}
