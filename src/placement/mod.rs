//! Chooses the node of the next container, and explains why other nodes were refused. Pure: the caller reads the
//! cluster.
//!
//! A node can take a container when it is online, has one of our templates, and has enough memory that is not
//! committed. Of several nodes, one with a free template comes first, then the one with most memory left, then the
//! first by name: the same input always gives the same choice. Elsewhere: reading the cluster (`ports::Hypervisor`),
//! and the lease that allows one clone of a template at a time (`provision`).

mod decide;
mod memory;
mod types;

pub use decide::place;
pub use types::{Choice, Commitment, NodeOutcome, NodeRefusal, NodeVerdict, Placement, PlacementPolicy, Want};
