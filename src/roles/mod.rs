//! Composition roots: one file per command, and what they share.
//!
//! `settings` finds the settings, `wiring` makes connections and adapters from them; a role picks what it needs, runs
//! until a signal comes (`signals`), tells systemd how it is (`notify`) and drains. Operator commands print through
//! `output` and write what they did to the audit log (`audited`). Only `main.rs` imports this module, and only this
//! module imports `adapters`, `router` and `sim`.

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
