//! A running worker: it receives ids, claims operations, runs jobs, renews leases, sweeps, and drains when it stops.

pub(super) mod context;
mod handle;
pub(super) mod inflight;
mod logged;
pub(super) mod renewer;
pub(super) mod worker;
