//! The append-only record of privileged acts and refusals: [`record`] writes it, admins read it at `/api/audit`.
//!
//! An act is recorded in the transaction that does it. Nothing here changes or deletes an entry.

pub mod http;
mod store;

pub use store::{Entry, Outcome, find_page, record};
