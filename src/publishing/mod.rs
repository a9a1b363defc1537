//! Publishes servers at the edge and unpublishes them: what `edge` decides is done here, target by target.
//!
//! [`Publisher`] publishes and unpublishes one server at its [`Targets`], [`Reconciler`] finishes what was left unfinished.
//! What is stored of a server's publication is its `edge::EdgeRecord`, in the payload of its row. Not here: the
//! comparison and the plan (`edge`), the clients of the peers (`adapters`).

mod blocked;
mod debts;
mod error;
mod generation;
pub mod http;
mod job;
mod publisher;
mod reconciler;
mod report;
mod settings_check;
mod targets;
mod unpublish;
mod verify;

pub use blocked::blocked;
pub use error::PublishError;
pub use generation::{CLAIM_TIMEOUT, TargetSelection};
pub use job::{PublishJob, PublishPayload};
pub use publisher::{Publisher, TARGET_TIMEOUT};
pub use reconciler::Reconciler;
pub use report::{TargetReport, TargetVerdict};
pub use settings_check::SettingsCheck;
pub use targets::{EdgeTarget, Holdings, Peers, Targets};
pub use unpublish::UnpublishPlan;
