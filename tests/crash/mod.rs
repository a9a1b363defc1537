//! Real processes, killed, stopped and cut off at chosen points.
//!
//! [`steps`] kills a worker around every step of a provisioning operation, [`host`] around those of work on a server.
//! [`matrix`] runs every crash point of the job runtime with every fault; [`check`] asserts the invariants of
//! docs/invariants.md afterwards, and says how far each is checked. [`committed`] acts on a server whose operation has to resume. [`campaign`] injects random faults for minutes.
//! [`lease`] stops and kills leaders, and takes Redis from them. docs/testing.md says how to run all of it and how to
//! repeat one case.

mod campaign;
mod cell;
mod cells;
mod check;
mod committed;
pub mod fault;
mod host;
mod lease;
mod matrix;
mod point;
pub mod process;
mod steps;
