//! The HTTP API through its door: conventions, who may do what, and the routes one by one.

mod audit;
mod auth;
mod authorization;
mod bodies;
mod catalog;
mod cluster;
mod conventions;
mod deleting;
mod documents;
pub mod edge;
mod hang_ups;
mod health;
mod instances;
mod metrics;
mod operations;
mod progress;
mod proxy_status;
mod servers;
mod status;
