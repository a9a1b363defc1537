//! The simulated peers: real wires on loopback, for `zpack dev` and for the tests. Shares no code with `adapters`.
//!
//! [`World::start`] starts every [`Peer`] with its own listener and the control listener. Around each peer stands a
//! gate that applies planned faults ([`faults`]) and keeps a journal of requests ([`journal`]), so that peers know
//! nothing of either. What a peer wants to keep over a restart it hands to the state file ([`state_file`]).
//!
//! The peers: [`proxmox`], [`agent`], [`artifacts`], [`velocity`], [`cloudflare`], [`technitium`], [`traefik`]; the records of
//! the two DNS services are also served over [`dns`]. The game protocol is [`minecraft`]. The wire itself (HTTP/1.1 with
//! arbitrary reason phrases, resets, silence) is [`wire`].

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
mod gate;
mod network;
mod peer;
mod redact;
mod ring;
mod state_file;
mod world;

pub use core::{Core, TimeScale};
pub use error::SimError;
pub use gate::Gate;
pub use network::Network;
pub use peer::{Boot, ContainerObserver, ControlError, ControlRequest, Peer};
pub use world::{SimConfig, World};
