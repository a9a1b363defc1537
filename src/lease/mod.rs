//! Leader election among several processes: a lock in Redis elects the leader, an epoch in SQL fences it
//! (docs/contracts/jobs.md 3).
//!
//! The lock avoids duplicate work; safety comes from the epoch. Every new leader raises `leases.epoch`, and every
//! transaction of a leader begins by reading that row under a shared lock ([`Term::begin`]): a leader that was deposed
//! without noticing it writes nothing, and a new leader waits for transactions that the old one has in flight. While
//! Redis does not answer, the leader relies on its heartbeat in `leases.renewed_at`, and another candidate takes over
//! once that heartbeat is too old.
//!
//! [`Lease::lead`] competes for the lease until it is stopped. External effects during a term must be harmless when
//! repeated, such as offering an operation. Elsewhere: what a leader does.

mod campaign;
mod lead;
mod lock;
mod name;
mod policy;
mod settings;
mod store;
mod term;

pub use lead::{CandidacyEnd, Lease, LeaseDeps};
pub use lock::{LockView, observe_lock};
pub use name::LeaseName;
pub use settings::LeaseSettings;
pub use term::{Term, TermError};

#[cfg(test)]
mod tests;
