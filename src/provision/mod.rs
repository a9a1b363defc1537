//! Creates a running, recorded server from an accepted request.
//!
//! `plan` turns a request into a blueprint (pure). `steps` is the saga that builds it, one file a step, and
//! [`ProvisionJob`] runs or undoes that saga for one operation. Every container carries the operation's id as its
//! nonce, so that after a lost answer the container is looked up instead of being created twice.
//!
//! Elsewhere: accepting and showing operations (`operations`), claiming them (`jobs`), what may be requested
//! (`catalog`).

mod create;
mod destroy;
mod held;
pub mod http;
mod identity;
mod job;
mod moved;
mod plan;
mod policy;
mod public_port;
mod request;
mod run;
mod setbacks;
mod state;
mod steps;

pub use job::ProvisionJob;
pub use plan::{Blueprint, PlanError, plan};
pub use policy::{ProvisionPolicy, Timings};
pub use request::{ProvisionPayload, ServerRequest, Workload};
pub use run::ProvisionDeps;
pub use setbacks::Setbacks;
pub use state::Provisioning;
