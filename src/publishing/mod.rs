//! Brings servers to the edge and takes them back: what `edge` decides is done here, target by target.
//!
//! [`Publisher`] publishes one server and takes one back, [`Reconciler`] finishes what was left unfinished, [`withdraw()`] takes
//! back one target from persisted facts alone. What is known of a server's publication is its `edge::EdgeRecord`, in the
//! payload of its row. Not here: the comparison and the plan (`edge`), the peers (`adapters`).

mod blocked;
pub mod http;
mod job;
mod publisher;
mod reconciler;
mod registration;
mod verify;
mod withdraw;
mod zone;

pub use blocked::blocked;
pub use job::{PublishJob, PublishPayload};
pub use publisher::{PublishError, Publisher, Scope};
pub use reconciler::Reconciler;
pub use verify::{TargetReport, TargetVerdict};
pub use withdraw::{Withdrawal, debt_of, target_of, withdraw};
