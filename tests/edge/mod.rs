//! The edge: servers published at the simulated peers over their real protocols, kept there, and unpublished.
//!
//! The cases are those of docs/contracts/edge.md H; each test names its own.

mod at_our_name;
mod bridge;
mod causes;
mod drift;
mod faults;
mod foreign;
mod kit;
mod publish;
mod sweep;
mod targets;
mod teardown;
mod trouble;
mod zone_name;
