//! Real processes, killed, stopped and cut off where it hurts.
//!
//! [`steps`] kills a worker around every step of a provisioning operation, [`host`] around those of work on a server.
//! [`matrix`] crosses the edges of the job runtime with every fault; [`check`] asserts the invariants of
//! docs/invariants.md afterwards, and says how far each is checked. [`campaign`] lets chance decide for minutes.
//! [`lease`] stops and kills leaders, and takes Redis from them. docs/testing.md tells how to run all of it and how to
//! repeat one case.

mod campaign;
mod cell;
mod cells;
mod check;
mod edge;
pub mod fault;
mod host;
mod lease;
mod matrix;
pub mod process;
mod steps;
