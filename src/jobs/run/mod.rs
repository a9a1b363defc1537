//! A worker at work: it receives, claims, runs jobs under leases that it renews, sweeps, and drains on request.

pub(super) mod context;
mod handle;
pub(super) mod inflight;
mod logged;
pub(super) mod renewer;
pub(super) mod worker;
