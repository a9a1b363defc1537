//! The wire protocols of the peers: the simulated peers against `docs/contracts/`, the adapters against the simulated
//! peers.

mod agent;
mod catalog;
mod catalog_cache;
mod cloudflare;
mod http;
mod proxmox;
mod proxmox_endpoints;
pub mod proxmox_kit;
mod proxmox_preflight;
mod proxmox_schema;
mod proxmox_wire;
mod proxmoxer;
mod raw;
mod reach;
mod refused_token;
mod rotated_token;
pub mod scripted;
mod sim_agent;
mod sim_cloudflare;
mod sim_core;
mod sim_dns;
mod sim_proxmox;
mod sim_technitium;
mod sim_velocity;
mod status_ping;
mod technitium;
mod tls;
mod traefik;
mod velocity;
mod velocity_kit;
pub mod zone_kit;
