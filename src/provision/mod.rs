//! From an accepted request to a running, recorded server.
//!
//! `plan` turns a request into a blueprint (pure), `steps` are the saga that builds it, one file each, and
//! [`ProvisionJob`] runs or unwinds that saga for one operation. Every container carries the operation's id as its
//! nonce, so that an answer that was lost is settled by looking, never by asking again blindly.
//!
//! Not here: accepting and showing operations (`operations`), claiming them (`jobs`), what may be chosen (`catalog`).

mod create;
mod destroy;
mod held;
pub mod http;
mod identity;
mod job;
mod plan;
mod policy;
mod public_port;
mod request;
mod run;
mod state;
mod steps;

pub use job::ProvisionJob;
pub use plan::{Blueprint, PlanError, plan};
pub use policy::{ProvisionPolicy, Timings};
pub use request::{ProvisionPayload, ServerRequest, Workload};
pub use run::ProvisionDeps;
pub use state::Provisioning;
