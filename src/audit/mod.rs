//! The append-only audit log of privileged actions and refusals: [`record`] writes it, admins read it at `/api/audit`.
//!
//! An action is recorded in the transaction that carries it out. Nothing here changes or deletes an entry.

pub mod http;
mod store;

pub use store::{AuditOutcome, Entry, find_page, record};
