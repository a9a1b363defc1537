//! The one integration test binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails, in its helpers too"
)]

#[path = "contracts/mod.rs"]
mod contracts;
#[path = "edge/mod.rs"]
mod edge;
#[path = "flows/mod.rs"]
mod flows;
#[path = "jobs/mod.rs"]
mod jobs;
#[path = "outage/mod.rs"]
mod outage;
#[path = "ratchet/mod.rs"]
mod ratchet;
#[path = "routes/mod.rs"]
mod routes;
#[path = "stores/mod.rs"]
mod stores;
#[path = "support/mod.rs"]
mod support;

#[path = "crash/mod.rs"]
mod crash;
