//! Composition roots: one file for each command, and what they share.
//!
//! `settings` finds the settings; `wiring` creates connections and adapters from them. A role takes what it needs, runs
//! until a signal arrives (`signals`), reports its state to systemd (`notify`) and drains. Operator commands print
//! through `output` and record their actions in the audit log (`audited`). Only `main.rs` imports this module, and only
//! this module imports `adapters`, `router` and `sim`.

mod audited;
mod background;
pub mod completions;
pub mod dev;
pub mod doctor;
pub mod exit;
pub mod lease;
mod listen;
pub mod man;
pub mod migrate;
mod notify;
pub mod openapi;
pub mod ops;
pub mod output;
pub mod queue;
mod random;
pub mod serve;
pub mod settings;
mod signals;
pub mod sim;
pub mod upkeep;
pub mod user;
mod wiring;
pub mod worker;
