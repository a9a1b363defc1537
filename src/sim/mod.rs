//! The simulated peers: real wires on loopback, for `zpack dev` and for the tests. Shares no code with `adapters`.
//!
//! [`World::start`] starts every [`Peer`] with its own listener and the control listener. Each peer is wrapped by a
//! [`FaultLayer`] that applies planned faults ([`faults`]) and records requests ([`journal`]), so that peers know nothing
//! of either. What a peer keeps over a restart is written to the state file ([`state_file`]). Everything that grows has
//! a bound (`docs/simulator.md`).
//!
//! The peers: [`proxmox`], [`agent`], [`artifacts`], [`velocity`], [`cloudflare`], [`technitium`], [`traefik`]; the
//! records of the two DNS services are also served over [`dns`]. The game protocol is [`minecraft`]. The wire itself
//! (HTTP/1.1 with arbitrary reason phrases, resets, no answer at all) is [`wire`].

pub mod agent;
pub mod artifacts;
pub mod cloudflare;
pub mod dns;
pub mod faults;
pub mod journal;
pub mod minecraft;
pub mod proxmox;
pub mod technitium;
pub mod traefik;
pub mod velocity;
pub mod wire;

mod control;
mod core;
mod error;
mod fault_layer;
mod network;
mod peer;
mod redact;
mod ring;
mod state_file;
mod world;

pub use core::{Core, TimeScale};
pub use error::SimError;
pub use fault_layer::FaultLayer;
pub use network::Network;
pub use peer::{Boot, ContainerObserver, ControlError, ControlRequest, FurtherListener, Peer};
pub use world::{SimConfig, World};
