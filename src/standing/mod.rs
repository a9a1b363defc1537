//! What an owner may do now: the enforcement state, and the [`gate()`] that is checked in the handler of every request
//! and again when its job runs.
//!
//! Elsewhere: who changes the state (`billing`), who owns a server (`instances`).

mod gate;
pub mod store;

pub use gate::{Action, Decision, Denial, gate};
pub use store::Standing;
