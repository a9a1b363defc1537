//! zpack, the control plane of a hosting company: game servers and dev containers on Proxmox VE.
//!
//! The modules stand here in layer order. A module may import only what its row in `docs/architecture.md` allows;
//! `tests/ratchet/layering.rs` holds the literal table and fails on any other `use crate::`.

// Layer 0: leaf words, imported by everyone.
pub mod kernel;
pub mod telemetry;

// Layer 1: infrastructure without features.
pub mod background;
pub mod config;
pub mod db;
pub mod jobs;
pub mod lease;
pub mod ports;
pub mod saga;
pub mod web;

// Layer 2: shared business vocabulary.
pub mod accounts;
pub mod audit;
pub mod catalog;
pub mod edge;
pub mod operations;
pub mod placement;
pub mod servers;
pub mod standing;

// Layer 3: one server, from its container to what its owner sees.
pub mod containers;
pub mod instances;
pub mod observe;
pub mod publishing;

// Layer 4: features; siblings do not know one another.
pub mod cluster;
pub mod power;
pub mod provision;
pub mod teardown;

// Layer 5: the outside, and the table of routes.
pub mod adapters;
pub mod discovery;
pub mod router;
pub mod sim;

// Layer 6: composition roots.
pub mod roles;

pub mod cli;
