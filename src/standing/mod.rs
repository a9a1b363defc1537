//! What an owner may do now: the enforcement state and the [`gate()`] that every transition asks, in the handler and again
//! when its job runs.
//!
//! Not here: who changes the state (`billing`), who owns a server (`instances`).

mod gate;
pub mod store;

pub use gate::{Action, Decision, Denial, gate};
pub use store::Standing;
