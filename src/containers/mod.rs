//! Work on one container at the hypervisor: observe, switch on and off, destroy. Also the listing of all containers.
//!
//! The description of a container, and a tag of it, name the operation that created it: its nonce. A container is changed only after it
//! was observed to carry the right nonce (invariant S4), and when an answer is lost, the container is observed again.
//! The work runs inside a step of a saga, which can ask it to stop. Elsewhere: creating a container (`provision`) and
//! choosing its node (`placement`).

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
pub use nonce::{description, nonce_of, tag};
pub use not_switched::NotSwitched;
