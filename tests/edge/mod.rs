//! The edge: servers published at the simulated peers over their real wires, kept there, and taken back.
//!
//! The cases are those of docs/contracts/edge.md H; each test names its own.

mod bridge;
mod drift;
mod faults;
mod foreign;
mod kit;
mod publish;
mod sweep;
mod targets;
mod teardown;
mod trouble;
