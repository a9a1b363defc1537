//! The HTTP API over real connections: conventions, authorization, and each group of routes.

mod audit;
mod auth;
mod authorization;
mod bodies;
mod catalog;
mod cluster;
mod conventions;
mod deadlines;
mod deleting;
mod documents;
pub mod edge;
mod hang_ups;
mod health;
mod instances;
mod metrics;
mod operations;
mod pending;
mod progress;
mod proxy_status;
mod servers;
mod status;
