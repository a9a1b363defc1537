//! One container at the hypervisor: whose it is, waiting for what is done to it, and removing it. Also all of them.
//!
//! A container carries the operation that made it in its description, its nonce. Nothing is done to a container before
//! it was seen to carry the right one (invariant S4), and an answer that was lost is settled by looking. The work runs
//! inside a step of a saga, which says when to stop. Not here: making one (`provision`), deciding where (`placement`).

mod container;
mod deadline;
mod destroy;
mod listing;
mod nonce;
mod not_switched;
mod power;
mod switch;

pub use container::{Container, ContainerTimings, ObservedContainer};
pub use deadline::{Deadline, is_retryable};
pub use destroy::{Destroyed, NotDestroyed};
pub use listing::{NotListed, list_all};
pub use nonce::{description, is_ours, nonce_of};
pub use not_switched::NotSwitched;
