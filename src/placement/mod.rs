//! Which node takes the next container, and why the others did not. Pure: the caller observes, this decides.
//!
//! A node takes a container when it is online, carries one of our templates, and the memory promised on it leaves room.
//! Of several, one whose template is free comes first, then the one with the most memory left, then the first by name:
//! the same observation always gives the same answer. Not here: reading the cluster (`ports::Hypervisor`) and the lease
//! that lets one clone of a template run at a time (`provision`).

mod decide;
mod memory;
mod types;

pub use decide::place;
pub use types::{Choice, Commitment, NodeOutcome, NodeRefusal, NodeVerdict, Placement, PlacementPolicy, Want};
