//! One leader among several processes: a lock in Redis elects it, an epoch in SQL fences it (docs/contracts/jobs.md 3).
//!
//! The lock keeps two processes from doing the same work; it is efficiency, not safety. Every new leader raises
//! `leases.epoch`, and every transaction of a leader begins by reading that row under a shared lock ([`Term::begin`]):
//! a leader that was deposed without noticing writes nothing, and a new one waits for what the old one is committing.
//! While Redis does not answer, a leader goes on by the moment it wrote to `leases.renewed_at`, and another takes over
//! when that is old.
//!
//! [`Lease::lead`] stands for election until it is told to stop. What happens outside SQL during a term must be
//! harmless when done twice, such as enqueueing an operation. Not here: what a leader does.

mod campaign;
mod lead;
mod lock;
mod name;
mod policy;
mod settings;
mod store;
mod term;

pub use lead::{Ended, Lease, LeaseDeps};
pub use lock::{LockView, look};
pub use name::LeaseName;
pub use settings::LeaseSettings;
pub use term::{Term, TermError};

#[cfg(test)]
mod tests;
